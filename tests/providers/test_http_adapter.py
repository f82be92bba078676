"""The `http` adapter: requests and classification of answers, without a database."""

import asyncio
import threading
from copy import copy
from dataclasses import replace
from uuid import UUID

import pytest

from providers.adapters.base import (
    Absent,
    AccessDenied,
    CredentialsRefused,
    Exists,
    Order,
    Refused,
    Throttled,
    Unclear,
    Unsent,
    Unusable,
)
from providers.adapters.http import HttpAdapter
from providers.answers import at_path
from providers.models import Provider
from providers.webhook_urls import webhook_url
from tests.servers import Answer
from workers.outbound import Http

ID = UUID("01890000-0000-7000-8000-000000000001")
ORDER = Order(ID, 1250, "EUR", "March", "https://relay.example/webhooks/third")


@pytest.fixture
def provider(far):
    """A provider with the default settings."""
    return Provider(slug="third", base_url=far.url, id=1)


def changed(provider, **fields):
    """A copy of the provider with other values in these fields."""
    other = copy(provider)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def create(provider, order=ORDER):
    return _with_http(lambda http: HttpAdapter().create(provider, http, order))


def read(provider):
    return _with_http(lambda http: HttpAdapter().read(provider, http, ID))


def _with_http(work):
    async def go():
        async with Http(["127.0.0.1"]) as http:
            return await work(http)

    return asyncio.run(go())


# --- what it sends


def test_it_posts_the_order_with_our_id_as_the_idempotency_key(provider, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    create(provider)

    [asked] = far.asked
    assert asked.path == "/transactions"
    assert asked.headers["idempotency-key"] == str(ID)
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {
        "id": str(ID),
        "amount": 1250,
        "currency": "EUR",
        "reference": "March",
        "webhook_url": "https://relay.example/webhooks/third",
    }


def test_a_status_check_gets_the_path_with_our_id(provider, far):
    far.on("GET", Answer(200, {"status": "completed"}))
    read(provider)

    assert [asked.path for asked in far.asked] == [f"/transactions/{ID}"]


def test_it_fills_the_providers_own_paths_and_body(provider, far):
    far.on("POST", Answer(201))
    far.on("GET", Answer(200, {"status": "pending"}))
    own = changed(
        provider,
        base_url=far.url + "/api/",
        create_path="/orders/{id}/new",
        status_path="/orders/{id}/state",
        create_body={"order": {"no": "{id}", "cents": "{amount}", "text": "{currency} {amount}"}, "v": 2},
    )
    create(own)
    read(own)

    assert [asked.path for asked in far.asked] == [f"/api/orders/{ID}/new", f"/api/orders/{ID}/state"]
    assert far.of("POST")[0].json == {"order": {"no": str(ID), "cents": 1250, "text": "EUR 1250"}, "v": 2}


def test_an_order_without_a_reference_sends_null(provider, far):
    far.on("POST", Answer(201))
    create(provider, replace(ORDER, reference=None))

    assert far.asked[0].json["reference"] is None


def test_it_sends_the_providers_headers_with_both_calls(provider, far):
    far.on("POST", Answer(201))
    far.on("GET", Answer(200, {"status": "pending"}))
    own = changed(provider, headers={"X-Api-Key": "k", "Accept": "application/vnd.third+json"})
    create(own)
    read(own)

    assert [(a.headers["x-api-key"], a.headers["accept"]) for a in far.asked] == [
        ("k", "application/vnd.third+json")
    ] * 2


# --- what an answer is


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(409), Exists),
        (Answer(400), Refused),
        (Answer(404), Refused),
        (Answer(422), Refused),
        (Answer(401), CredentialsRefused),
        (Answer(403), AccessDenied),
        (Answer(429), Throttled),
        (Answer(500), Unclear),
        (Answer(502), Unclear),
        (Answer(503), Unclear),
        (Answer(504), Unclear),
        (Answer(301, headers={"Location": "/elsewhere"}), Unclear),
        (Answer(410), Unclear),
        (Answer(lost=True), Unclear),
    ],
)
def test_the_answer_to_a_create_decides_the_result(provider, far, answer, error):
    far.on("POST", answer)

    with pytest.raises(error) as caught:
        create(provider)

    assert type(caught.value) is error
    assert caught.value.call.method == "POST"
    assert len(far.of("POST")) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(404), Absent),
        (Answer(401), CredentialsRefused),
        (Answer(403), AccessDenied),
        (Answer(429), Throttled),
        (Answer(400), Unusable),
        (Answer(409), Unusable),
        (Answer(410), Unusable),
        (Answer(422), Unusable),
        (Answer(500), Unclear),
        (Answer(504), Unclear),
        (Answer(302, headers={"Location": "/elsewhere"}), Unusable),
        (Answer(lost=True), Unclear),
    ],
)
def test_the_answer_to_a_status_check_decides_the_result(provider, far, answer, error):
    far.on("GET", answer)

    with pytest.raises(error) as caught:
        read(provider)

    assert type(caught.value) is error


@pytest.mark.parametrize("call", [create, read])
def test_a_refused_connection_is_unsent(provider, call):
    with pytest.raises(Unsent) as caught:
        call(changed(provider, base_url="http://127.0.0.1:1"))

    assert caught.value.call.http_status is None
    assert caught.value.call.error


@pytest.mark.parametrize(
    ("address", "error"),
    [("http://elsewhere.example", Unsent), ("https://10.0.0.1", Unsent), ("https://nowhere.invalid", Unsent)],
)
def test_an_address_that_is_not_called_is_unsent(provider, address, error):
    with pytest.raises(error):
        create(changed(provider, base_url=address))


def test_a_create_that_takes_too_long_is_unclear(provider, far):
    held = threading.Event()
    far.on("POST", Answer(201, {"status": "completed"}, held=held))

    with pytest.raises(Unclear):
        create(changed(provider, create_timeout=0.2))
    held.set()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("9" * 400, 86400.0), ("", None), ("later", None), ("-1", None)],
)
def test_a_429_gives_the_providers_retry_after(provider, far, given, seconds):
    far.on("GET", Answer(429, headers={"Retry-After": given}))

    with pytest.raises(Throttled) as caught:
        read(provider)

    assert caught.value.retry_after == seconds


# --- the status in it


@pytest.mark.parametrize(
    ("settings", "body", "status"),
    [
        ({}, {"status": "completed"}, "completed"),
        ({}, {"status": "pending"}, "pending"),
        ({"status_map": {"OK": "completed", "WAIT": "pending"}}, {"status": "OK"}, "completed"),
        ({"status_map": {"OK": "completed", "WAIT": "pending"}}, {"status": "WAIT"}, "pending"),
        ({"status_map": {"2": "declined"}}, {"status": 2}, "declined"),
        ({"status_field": "data.state"}, {"data": {"state": "declined"}}, "declined"),
    ],
)
def test_a_mapped_status_is_read(provider, far, settings, body, status):
    far.on("GET", Answer(200, body))
    far.on("POST", Answer(201, body))
    third = changed(provider, **settings)

    assert [(seen.status, seen.unmapped) for seen in (read(third), create(third))] == [(status, "")] * 2


@pytest.mark.parametrize(
    ("settings", "body", "unmapped"),
    [
        ({}, {"status": "COMPLETED"}, "COMPLETED"),
        ({}, {"status": ""}, ""),
        ({}, {"status": None}, ""),
        ({}, {}, ""),
        ({"status_map": {"OK": "completed"}}, {"status": "completed"}, "completed"),
        ({"status_map": {"OK": "nonsense"}}, {"status": "OK"}, "OK"),
        ({"status_field": "data.state"}, {"data": "declined"}, ""),
        ({"status_field": "data.state"}, {"status": "declined"}, ""),
        ({}, {"status": "x" * 500}, "x" * 100),
    ],
)
def test_an_answer_without_a_mapped_status_is_unusable_to_a_check_and_pending_to_a_create(
    provider, far, settings, body, unmapped
):
    far.on("GET", Answer(200, body))
    far.on("POST", Answer(201, body))
    third = changed(provider, **settings)

    with pytest.raises(Unusable) as caught:
        read(third)
    assert caught.value.unmapped == unmapped
    created = create(third)
    assert (created.status, created.unmapped) == ("pending", unmapped)


@pytest.mark.parametrize("body", [b"", b" ", b'"\\ud800"', b"[]", b"{}", b"null"])
def test_a_create_answered_by_json_without_a_status_or_by_nothing_is_pending(provider, far, body):
    far.on("POST", Answer(201, body=body))

    assert create(provider).status == "pending"


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"{", b"[" * 10_000])
def test_a_create_answered_by_a_body_that_is_invalid_json_is_unclear(provider, far, body):
    far.on("POST", Answer(201, body=body))

    with pytest.raises(Unclear):
        create(provider)


@pytest.mark.parametrize(
    "body", [{"status": "completed"}, {"id": "x" * 5000, "status": "declined"}, {"status": "failed", "more": [1, 2]}]
)
def test_a_create_whose_answer_breaks_off_in_its_body_is_pending(provider, far, body):
    far.on("POST", Answer(201, body, cut=True))

    seen = create(provider)

    assert (seen.status, seen.unmapped, len(far.of("POST"))) == ("pending", "", 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [({"message": "no funds"}, "no funds"), ({"errors": [{"detail": "card expired"}]}, "card expired"), ({}, "")],
)
def test_a_402_to_a_create_is_declined_with_the_providers_reason(provider, far, body, reason):
    far.on("POST", Answer(402, body))

    seen = create(provider)

    assert (seen.status, seen.reason) == ("declined", reason)


@pytest.mark.parametrize(
    "body", [b"<html>We will be back soon", b"", b'{"status": "comp', b"[]", b"null", b'"completed"']
)
def test_a_status_check_answered_without_a_json_object_is_unusable(provider, far, body):
    far.on("GET", Answer(200, body=body))

    with pytest.raises(Unusable):
        read(provider)


def test_each_call_is_recorded_for_operators(provider, far):
    far.on("POST", Answer(201, {"status": "completed", "token": "hush"}))

    call = create(provider).call

    assert (call.method, call.url, call.http_status) == ("POST", far.url + "/transactions", 201)
    assert "completed" in call.excerpt and "hush" not in call.excerpt


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": {"b": 1}}, "a", {"b": 1}),
        ({"a": 1}, "a.b", None),
        ([1], "0", None),
        (None, "a", None),
    ],
)
def test_a_dotted_path_leads_into_objects(body, path, found):
    assert at_path(body, path) == found


# --- what nobody else may read

SECRET = "hunter2/and+more"


@pytest.fixture
def secretive(provider):
    """A provider with secret headers and a secret token in its webhook URL."""
    headers = {"Authorization": f"Bearer {SECRET}", "X-Version": "2"}
    return changed(provider, headers=headers, webhook_auth="url-token")


@pytest.mark.parametrize("written", [SECRET, SECRET.replace("/", r"\/")])
def test_a_header_that_a_provider_repeats_is_hidden_from_client_and_operators(secretive, far, written):
    far.on("POST", Answer(422, body=b'{"message": "no account 2 for %s"}' % written.encode()))

    with pytest.raises(Refused) as refused:
        create(secretive)

    assert str(refused.value) == "no account 2 for ***"
    assert refused.value.call.excerpt == '{"message": "no account 2 for ***"}'


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_webhook_token_that_a_provider_repeats_is_hidden_from_operators(secretive, far, method):
    url = webhook_url(secretive, ID)
    far.on(method, Answer(200, {"status": "pending", "webhookUrl": url}))

    seen = (create if method == "POST" else read)(secretive)

    assert url.rpartition("/")[2] not in seen.call.excerpt
    assert "/***" in seen.call.excerpt


def test_a_secret_across_the_excerpts_end_is_hidden(secretive, far):
    far.on("GET", Answer(500, body=b"x" * 495 + SECRET.encode()))

    with pytest.raises(Unclear) as unclear:
        read(secretive)

    assert unclear.value.call.excerpt == "x" * 495 + "***"
