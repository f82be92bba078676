"""Invalid URLs, methods and headers: the response is always a problem, never HTML."""

import pytest
from django.test import Client as Web
from django.test import RequestFactory
from rest_framework.exceptions import Throttled

from tests.transactions.api.callers import problem
from transactions.api import problems, views

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

UNKNOWN = [
    "/v1", "/v1/", "/v1/nothing", "/v1/transactions/", "/v1/transactions/a/", "/v1/transactions/a/events/",
    "/v1/transactions/a/nothing", "/v1/transactions/a/b/c", "/v1/admin/", "/v1/schema/", "/v1/%00", "/v1/%FF",
    "/webhooks", "/webhooks/", "/webhooks/nobody/", "/webhooks/no.body", "/webhooks/third/not-an-id/token",
    "/webhooks/third/01a206dd-a360-7957-9a4c-f9443a149f4e", "/webhooks/%00",
]  # fmt: skip


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_address_is_a_problem(api, path, method):
    problem(getattr(api.web, method)(path), 404, "not-found")


@pytest.mark.parametrize("path", UNKNOWN[:3])
def test_an_unknown_address_needs_no_key_to_be_unknown(db, path):
    problem(Web().get(path), 404, "not-found")


@pytest.mark.parametrize("path", ["/nothing", "/v1nothing", "/V1/transactions", "/webhooksx"])
def test_an_unknown_address_elsewhere_is_plain_text(db, path):
    answer = Web().get(path)

    assert (answer.status_code, answer["Content-Type"]) == (404, "text/plain")


@pytest.mark.parametrize("end", ["", "/events", "/notifications"])
@pytest.mark.parametrize(
    "id_",
    ["nobody", "x" * 65, "x" * 3000, "%00", "a%00b", "%0A", "%FF", "%ED%A0%80", "é", "...", ".", "..", "%2e", "%2E%2E"],
)
def test_an_unknown_id_is_a_problem(api, id_, end):
    answer = getattr(api.web, "post" if end == "/notifications" else "get")(f"/v1/transactions/{id_}{end}")

    problem(answer, 404, "not-found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/transactions", {"GET", "POST"}),
        ("/v1/transactions/order-1", {"GET"}),
        ("/v1/transactions/order-1/events", {"GET"}),
        ("/v1/transactions/order-1/notifications", {"POST"}),
        ("/webhooks/third", {"POST"}),
        ("/webhooks/third/01a206dd-a360-7957-9a4c-f9443a149f4e/token", {"POST"}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_an_unsupported_method_is_a_problem_that_names_the_allowed_ones(api, path, allowed, method):
    if method in allowed:
        return
    answer = api.web.generic(method, path)

    problem(answer, 405, "method-not-allowed")
    assert set(answer["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed


@pytest.mark.parametrize("path", ["/v1/transactions", "/webhooks/third", "/v1/nothing"])
def test_a_host_that_is_not_ours_is_a_problem(api, path):
    problem(api.web.post(path, headers={"Host": "elsewhere.example"}), 400, "invalid")


@pytest.mark.parametrize("path", ["/v1/transactions", "/v1/transactions/order-1"])
def test_a_thousand_parameters_are_a_problem(api, path):
    assert api.web.get(path, {f"p{n}": "" for n in range(1100)}).status_code in (400, 404)


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", "application/json", "text/html, */*;q=0.1"])
def test_it_sends_json_to_clients_that_accept_it(api, accept):
    answer = api.web.get("/v1/transactions", headers={"Accept": accept})

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", ";", "json"])
def test_it_answers_406_to_clients_that_do_not_accept_json(api, accept):
    problem(api.web.get("/v1/transactions", headers={"Accept": accept}), 406, "not-acceptable")


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/webhooks/nobody", "/v1/transactions/nobody"])
def test_no_error_is_html_even_to_a_browser(api, path, accept):
    answer = api.web.get(path, headers={"Accept": accept})

    assert answer.status_code >= 400
    assert answer["Content-Type"] == "application/problem+json"


def test_an_unexpected_error_is_a_problem_without_details(api, monkeypatch, caplog):
    def broken(**_: object) -> None:
        raise RuntimeError("a story with secrets")

    monkeypatch.setattr(views, "find", broken)

    answer = api.get("/order-1")

    problem(answer, 500, "internal-error")
    assert b"story" not in answer.content
    assert "request_failed" in caplog.text


def test_an_unexpected_error_of_a_webhook_is_a_problem_without_details(api, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a story with secrets")

    monkeypatch.setattr("webhooks.incoming.views.open_authentic", broken)

    answer = api.web.post("/webhooks/third", b"{}", content_type="application/json")

    problem(answer, 500, "internal-error")
    assert b"story" not in answer.content


def test_too_many_requests_are_answered_with_retry_after():
    answer = problems.for_exception(Throttled(wait=7.2), RequestFactory().get("/v1/transactions"))

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) >= 7


def test_every_problem_says_what_to_do():
    assert all(found.title and found.advice for found in problems.PROBLEMS.values())
    assert {found.status for found in problems.PROBLEMS.values()} >= {
        400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 503,
    }  # fmt: skip
