import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cachetools import TTLCache
from django.test import Client as Web

from clients.models import ApiKey, Client
from clients.settings import client_settings, key_owner
from tests.cast import Caller
from tests.transactions.api.callers import Api, content, problem, stored

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ENDPOINTS = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/order-1"),
    ("GET", "/order-1/events"),
    ("POST", "/order-1/notifications"),
]
every_endpoint = pytest.mark.parametrize(("method", "path"), ENDPOINTS)


def call(method: str, path: str, authorization: str | None) -> Any:
    """Return the response to a valid body with this header."""
    headers = {} if authorization is None else {"Authorization": authorization}
    data = {"data": content(), "content_type": "application/json"} if method == "POST" else {}
    return getattr(Web(headers=headers), method.lower())(f"/v1/transactions{path}", **data)


def change_key(caller: Caller, **fields: object) -> None:
    ApiKey.objects.filter(client=caller.client).update(**fields)


@every_endpoint
def test_every_endpoint_requires_a_key(alice, method, path):
    answer = call(method, path, None)

    problem(answer, 401, "not-authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer ")
    assert stored() == (0, 0, 0)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer    ", "Bearer txk_unknown", "Bearer é", "Basic dTpw", "Token {key}", "{key}",
     "Bearer{key}", "Bearer: {key}", "Bearer {key}x", "Bearer {key} {key}", "Bearer,{key}", 'Bearer "{key}"',
     "Bearer {KEY}"],
)  # fmt: skip
def test_it_refuses_every_other_header(alice, authorization):
    answer = call("POST", "", authorization.format(key=alice.key, KEY=alice.key.upper()))

    problem(answer, 401, "not-authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer ")
    assert stored() == (0, 0, 0)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(alice, scheme):
    assert call("POST", "", f"{scheme} {alice.key}").status_code == 202


@pytest.mark.parametrize("taken", ["digest", "prefix"])
def test_the_stored_digest_and_prefix_of_a_key_are_refused(alice, taken):
    known = ApiKey.objects.values_list(taken, flat=True).get(client=alice.client)

    problem(call("GET", "", f"Bearer {known}"), 401, "not-authenticated")


@every_endpoint
def test_a_revoked_key_is_refused_everywhere(alice, method, path):
    change_key(alice, revoked_at=datetime.now(UTC))

    problem(call(method, path, f"Bearer {alice.key}"), 403, "key-disabled")
    assert stored() == (0, 0, 0)


@every_endpoint
def test_a_disabled_client_is_refused_everywhere(alice, method, path):
    Client.objects.filter(pk=alice.client.pk).update(enabled=False)

    problem(call(method, path, f"Bearer {alice.key}"), 403, "key-disabled")
    assert stored() == (0, 0, 0)


def test_an_expired_key_is_refused(alice):
    change_key(alice, expires_at=datetime.now(UTC) - HOUR)

    problem(call("POST", "", f"Bearer {alice.key}"), 403, "key-disabled")
    assert stored() == (0, 0, 0)


def test_a_key_works_until_it_expires(alice):
    change_key(alice, expires_at=datetime.now(UTC) + HOUR)

    assert call("POST", "", f"Bearer {alice.key}").status_code == 202


def test_all_keys_of_a_client_work(alice):
    second = ApiKey.create_for(alice.client, name="second")
    ApiKey.objects.filter(name="first key").update(revoked_at=datetime.now(UTC))

    assert call("POST", "", f"Bearer {second}").status_code == 202
    assert call("POST", "", f"Bearer {alice.key}").status_code == 403


@pytest.fixture
def two_seconds_later() -> Callable[[], None]:
    """Return a function that lets the cached settings of the web process expire."""

    def expire() -> None:
        for read in (client_settings, key_owner):
            cast(TTLCache[Any, Any], read.cache).expire(time.monotonic() + 2.01)

    return expire


def test_a_revoked_key_is_refused_within_two_seconds(alice, two_seconds_later):
    assert call("GET", "", f"Bearer {alice.key}").status_code == 200

    change_key(alice, revoked_at=datetime.now(UTC))
    two_seconds_later()

    assert call("GET", "", f"Bearer {alice.key}").status_code == 403


def test_a_new_key_that_was_refused_before_works_within_two_seconds(alice, two_seconds_later):
    assert call("GET", "", "Bearer txk_fresh").status_code == 401

    ApiKey.objects.create(client=alice.client, prefix="txk_", digest=ApiKey.digest_of("txk_fresh"))
    two_seconds_later()

    assert call("GET", "", "Bearer txk_fresh").status_code == 200


@pytest.mark.parametrize(("method", "path"), ENDPOINTS[2:])
def test_another_clients_transaction_is_answered_like_an_unknown_one(api, stranger, method, path):
    api.post(id="order-1")

    answer = getattr(stranger.web, method.lower())(f"/v1/transactions{path}")

    found = problem(answer, 404, "not-found")
    unknown = getattr(stranger.web, method.lower())(f"/v1/transactions{path.replace('1', '2')}")
    assert found["detail"] == problem(unknown, 404, "not-found")["detail"]
    assert stored() == (1, 1, 3)


def test_a_key_is_never_in_an_answer_or_a_log(alice, caplog):
    change_key(alice, revoked_at=datetime.now(UTC))

    answer = call("POST", "", f"Bearer {alice.key}")

    assert alice.key.encode() not in answer.content
    assert alice.key not in caplog.text


def test_a_client_reads_only_its_own_transactions(alice, mallory):
    Api(alice).post(id="hers")

    assert Api(mallory).get().json()["results"] == []
    assert [one["id"] for one in Api(alice).get().json()["results"]] == ["hers"]
