"""Bodies that arrive in pieces, without a length, slowly, or incomplete."""

import itertools
from typing import Any

import pytest

from tests.asgi import Body, ask
from tests.cast import Caller
from tests.transactions.api.callers import LARGEST, as_bytes, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

NOT_NOTIFIED = {"Transfer-Encoding": "chunked"}


def told(size: int) -> dict[str, str]:
    return {"Content-Length": str(size)}


def post(caller: Caller | None, body: Body, length: dict[str, str]) -> tuple[int, Any]:
    """The status and the JSON of the answer."""
    status, _, found = ask("/v1/transactions", (caller.bearer if caller else {}) | length, body)
    return status, found


def slug(found: Any) -> str:
    return str(found["type"]).removeprefix("http://testserver/problems/")


@pytest.mark.parametrize("length", [NOT_NOTIFIED, told(100)])
def test_it_takes_a_body_in_pieces(alice, length):
    whole = as_bytes(100)

    status, found = post(alice, Body([whole[:1], whole[1:60], b"", whole[60:]]), length)

    assert (status, found["id"]) == (202, "order-1")
    assert stored() == (1, 1, 3)


@pytest.mark.parametrize("length", [NOT_NOTIFIED, told(LARGEST)])
def test_it_takes_64_kib(alice, length):
    assert post(alice, Body([as_bytes(LARGEST)]), length)[0] == 202


@pytest.mark.parametrize("length", [NOT_NOTIFIED, told(LARGEST + 1)])
def test_it_refuses_more_than_64_kib(alice, length):
    status, found = post(alice, Body([as_bytes(LARGEST + 1)]), length)

    assert (status, slug(found)) == (413, "body-too-large")
    assert stored() == (0, 0, 0)


def test_it_does_not_read_a_body_without_end(alice):
    body = Body(itertools.repeat(b" " * 1024))

    assert post(alice, body, NOT_NOTIFIED)[0] == 413
    assert body.asked == 65


def test_it_does_not_read_a_body_that_says_it_is_too_large(alice):
    body = Body(itertools.repeat(b" " * 1024))

    assert post(alice, body, told(LARGEST + 1))[0] == 413
    assert body.asked == 0


@pytest.mark.parametrize("length", [NOT_NOTIFIED, told(100)])
@pytest.mark.parametrize("pieces", [[], [b'{"id": "a"']])
def test_a_late_body_is_a_problem(alice, pieces, length):
    status, found = post(alice, Body(pieces, "silence"), length)

    assert (status, slug(found)) == (408, "body-late")
    assert stored() == (0, 0, 0)


def test_an_incomplete_body_is_not_accepted(alice):
    status, _ = post(alice, Body([as_bytes(100)], "disconnect"), told(200))

    assert status == 408
    assert stored() == (0, 0, 0)


@pytest.mark.parametrize("length", [NOT_NOTIFIED, told(100)])
def test_it_does_not_wait_for_a_body_without_a_key(db, length):
    body = Body([], "silence")

    status, found = post(None, body, length)

    assert (status, slug(found)) == (401, "not-authenticated")
    assert body.asked == 0


def test_an_unknown_key_is_refused_before_a_late_body_is(db):
    status, _, found = ask("/v1/transactions", NOT_NOTIFIED | {"Authorization": "Bearer no"}, Body([], "silence"))

    assert (status, slug(found)) == (401, "not-authenticated")


def test_a_late_webhook_is_a_problem(third):
    status, _, found = ask("/webhooks/third", NOT_NOTIFIED, Body([b"{"], "silence"))

    assert (status, slug(found)) == (408, "body-late")


def test_an_unknown_provider_is_refused_before_a_late_body_is(db):
    status, _, found = ask("/webhooks/nobody", NOT_NOTIFIED, Body([b"{"], "silence"))

    assert (status, slug(found)) == (404, "not-found")


@pytest.mark.parametrize(("name", "status"), [("Idempotency-Key", 202), ("Idempotency_Key", 400)])
def test_headers_with_underscores_are_dropped(alice, name, status):
    headers = alice.bearer | NOT_NOTIFIED | {name: "order-1"}

    assert ask("/v1/transactions", headers, Body([b'{"amount": 1250, "currency": "EUR"}']))[0] == status
