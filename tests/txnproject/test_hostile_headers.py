"""Headers of unauthenticated requests that try to exhaust memory or to cause an internal error."""

import encodings

import pytest

from providers.settings import provider_by_slug
from tests.asgi import Body, ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ODD = [
    "application/json; charset=rot13",
    "application/json; charset=undefined",
    "application/json; x*=nope''%41",
    "application/json; charset*=utf-8''%00",
    f"application/json; x*{'9' * 5000}=1",
]


@pytest.mark.parametrize("path", ["/v1/transactions", "/healthz", "/webhooks/third", "/docs"])
@pytest.mark.parametrize("type_", ODD)
def test_no_parameter_of_a_content_type_is_a_server_error(path, type_):
    status, _, _ = ask(path, {"Content-Type": type_}, Body(), method="GET")

    assert status in (200, 401, 405)


@pytest.mark.parametrize("path", ["/v1/transactions", "/webhooks/third"])
@pytest.mark.parametrize("name", ["Content-Type", "Accept"])
def test_names_of_charsets_are_not_cached(alice, name, path):
    ask(path, alice.bearer | {name: "application/json; charset=kept-for-ever"}, Body(), method="GET")

    assert not [known for known in encodings._cache if "kept" in known]


@pytest.mark.parametrize("length", ["0" * 5000 + "5", "9" * 5000, "5,5", "-5", ""])
def test_no_length_is_a_server_error(alice, length):
    status, _, _ = ask("/v1/transactions", alice.bearer | {"Content-Length": length}, Body([b"{}   "]))

    assert status in (400, 413)


def test_invalid_provider_names_are_not_cached():
    slug = "x" * 60_000

    status, _, _ = ask(f"/webhooks/{slug}", {}, Body())

    assert status == 404
    assert slug not in [key for [key] in provider_by_slug.cache or ()]


def test_a_file_is_sent_from_the_disk_and_whole():
    status, headers, path = ask("/static/admin/css/base.css", {"Range": "bytes=0-9"}, Body(), method="GET")

    assert (status, path.endswith("/base.css")) == (200, True)
    assert int(headers["content-length"]) > 1000


def test_too_many_requests_in_process_are_answered_503_with_retry_after(alice, monkeypatch):
    monkeypatch.setattr("txnproject.asgi.MOST_TAKEN", 0)

    status, headers, found = ask("/v1/transactions", alice.bearer, Body())

    assert (status, headers["content-type"], int(headers["retry-after"]) > 0) == (503, "application/problem+json", True)
    assert found["type"].endswith("/problems/unavailable")


def test_answered_requests_are_no_longer_counted(alice):
    from txnproject import asgi  # its import asks the database, which tests may only do when they run

    for _ in range(3):
        ask("/v1/transactions", alice.bearer, Body(), method="GET")

    assert asgi._taken == 0
