"""API client of the tests, and assertions on its problem responses."""

import json
from typing import Any

from django.test import Client as Web
from django.utils.encoding import escape_uri_path

from tests.cast import Caller
from transactions.models import Event, Transaction
from workers.models import Job

LEFT_OUT = object()
LARGEST = 64 * 1024
"""Maximum size of a body in bytes."""


def content(**changes: Any) -> dict[str, Any]:
    """Return a valid body of `POST /v1/transactions` with these changes; `LEFT_OUT` removes a field."""
    whole = {"id": "order-1", "amount": 1250, "currency": "EUR", **changes}
    return {name: value for name, value in whole.items() if value is not LEFT_OUT}


def as_bytes(size: int) -> bytes:
    """Return a valid body of `size` bytes."""
    body = json.dumps(content()).encode()
    return body + b" " * (size - len(body))


class Api:
    """API client with one client's key. An unexpected error is answered as in production, not raised."""

    def __init__(self, caller: Caller | None, **headers: str) -> None:
        self.web = Web(raise_request_exception=False, headers=(caller.bearer if caller else {}) | headers)

    def send(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> Any:
        """POST this body unchanged. Underscores in the names of headers become hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.generic("POST", "/v1/transactions", body, content_type, headers=given)

    def post(self, **changes: Any) -> Any:
        return self.send(json.dumps(content(**changes)))

    def get(self, path: str = "", **query: Any) -> Any:
        return self.web.get(f"/v1/transactions{path}", query)

    def notify(self, id: str) -> Any:
        return self.web.post(f"/v1/transactions/{id}/notifications")


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    """Return the problem in a response, after the checks that apply to every problem."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.content)
    assert found["type"] == f"http://testserver/problems/{slug}"
    assert found["status"] == status
    assert found["title"] and found["detail"]
    assert found["instance"] == escape_uri_path(answer.wsgi_request.path)
    return found


def refused(answer: Any, status: int, slug: str) -> dict[str, Any]:
    """Return the problem in a response; check that nothing was stored."""
    found = problem(answer, status, slug)
    assert stored() == (0, 0, 0)
    return found


def wrong_fields(answer: Any) -> list[tuple[str, str]]:
    """Return the fields of a 400 with their codes; check that nothing was stored."""
    errors = refused(answer, 400, "invalid")["errors"]
    assert all(set(error) == {"field", "code", "detail"} and error["detail"] for error in errors)
    return [(error["field"], error["code"]) for error in errors]


def stored() -> tuple[int, int, int]:
    """Return the numbers of transactions, events and jobs."""
    return Transaction.objects.count(), Event.objects.count(), Job.objects.count()
