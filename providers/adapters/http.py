"""The `http` adapter: JSON over HTTP, with configurable paths, body, headers and words for the status."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from providers.adapters.base import Absent, CredentialsRefused, Exists, Order, Refused, Seen, Throttled, Unclear, Unsent
from providers.models import READ_TIMEOUT
from providers.settings import ProviderSettings
from providers.status import Status
from providers.webhook_urls import url_tokens
from workers.foundation.template import fill
from workers.foundation.text import as_storable
from workers.outbound import Http, NotSent, OutcomeUnknown, Response, hide

REASON_LENGTH = 500
"""Characters of a provider's reason that are kept."""
SHORTEST = 6
"""Characters of a header's value that may be a secret."""


class HttpAdapter:
    """See `providers.adapters.base.Adapter`; the rules are the answers table of docs/providers.md."""

    async def create(self, provider: ProviderSettings, http: Http, order: Order) -> Seen:
        body = json.dumps(fill(provider.create_body, order.values())).encode()
        headers = {"Idempotency-Key": str(order.id), "Content-Type": "application/json"}
        url = _address(provider, provider.create_path, order.id)
        hidden = _hidden(provider, order.id)
        answer = await _call(http, "POST", url, _headers(provider, headers), body, provider.create_timeout, hidden)
        match answer.status:
            case status if 200 <= status < 300:
                return _seen(provider, answer)
            case 409:
                raise Exists("it exists already", answer.call)
            case 400 | 404 | 422:
                raise Refused(_reason(answer, hidden), answer.call)
        # 5xx, and what no table knows: it may exist, and a later look will tell.
        raise Unclear(f"the create was answered {answer.status}", answer.call)

    async def read(self, provider: ProviderSettings, http: Http, id: UUID) -> Seen:
        url = _address(provider, provider.status_path, id)
        answer = await _call(http, "GET", url, _headers(provider, {}), None, READ_TIMEOUT, _hidden(provider, id))
        if 200 <= answer.status < 300:
            if not isinstance(_json(answer), dict):
                # A page that says "we will be back soon" is no sign that the transaction exists.
                raise Unclear("the look was answered by what is no JSON object", answer.call)
            return _seen(provider, answer)
        if answer.status == 404:
            raise Absent("it is not there now", answer.call)
        raise Unclear(f"the look was answered {answer.status}", answer.call)


async def _call(
    http: Http, method: str, url: str, headers: dict[str, str], body: bytes | None, within: float, hidden: set[str]
) -> Response:
    """One call, with what means the same for all: no answer, 401, 403, 429."""
    try:
        answer = await http.call(method, url, headers=headers, body=body, within=within, hidden=hidden)
    except NotSent as error:
        raise Unsent(str(error), error.call) from error
    except OutcomeUnknown as error:
        raise Unclear(str(error), error.call) from error
    if answer.status in (401, 403):
        raise CredentialsRefused(f"it answered {answer.status}", answer.call)
    if answer.status == 429:
        wait = answer.retry_after()
        raise Throttled("it answered 429", replace(answer.call, retry_after=wait or 0.0), wait)
    return answer


def _address(provider: ProviderSettings, path: str, id: UUID) -> str:
    return provider.base_url.rstrip("/") + path.replace("{id}", str(id))


def _headers(provider: ProviderSettings, ours: dict[str, str]) -> dict[str, str]:
    return {"Accept": "application/json", **ours, **provider.headers}


def _hidden(provider: ProviderSettings, id: UUID) -> set[str]:
    """What we send it that nobody else shall read in its answers: its headers, and the token of the webhooks' address.

    Shorter values are no secrets, and words of many an answer.
    """
    words = {word for value in provider.headers.values() for word in (value, *value.split()) if len(word) >= SHORTEST}
    return words | set(url_tokens(provider.slug, id))


def _seen(provider: ProviderSettings, answer: Response) -> Seen:
    status, unmapped = read_status(provider, at_path(_json(answer), provider.status_field))
    return Seen(status, answer.call, unmapped)


def read_status(provider: ProviderSettings, word: Any) -> tuple[Status, str]:
    """The status that a provider's word means, and the word itself where the map does not have it.

    No word at all is pending and nothing strange: many a create answers with an empty body.
    """
    if word is None or word == "":
        return Status.PENDING, ""
    meaning = (provider.status_map or {status: status for status in Status.values}).get(str(word))
    if meaning in Status.values:
        return Status(meaning), ""
    return Status.PENDING, as_storable(str(word), 100)


def at_path(body: Any, path: str) -> Any:
    """The value at a dotted path in nested objects; None where there is none."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _json(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _reason(answer: Response, hidden: set[str]) -> str:
    """The provider's reason for a refusal, as text for the client: a usual field of its answer, else the status."""
    body = _json(answer)
    for field in ("detail", "message", "reason", "error", "title"):
        reason = at_path(body, field)
        if isinstance(reason, dict):
            reason = reason.get("message")
        if isinstance(reason, str) and reason.strip():
            return as_storable(hide(reason.strip(), hidden), REASON_LENGTH)
    return f"the provider answered {answer.status}"
