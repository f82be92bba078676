"""The `http` adapter: JSON over HTTP. Paths, body, headers and the names of statuses are settings of the provider."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from providers.adapters.base import Absent, Copy, CredentialsRefused, Exists, Order, Refused, Throttled, Unclear, Unsent
from providers.answers import at_path, reading_of
from providers.models import READ_TIMEOUT, Provider
from providers.webhook_urls import url_tokens
from workers.foundation.template import fill
from workers.foundation.text import as_storable
from workers.outbound import Http, NotSent, OutcomeUnknown, Response, hide

REASON_LENGTH = 500
"""Number of characters that are kept of a provider's reason."""
SHORTEST_SECRET = 6
"""Least number of characters of a header's value that is treated as a secret."""


class HttpAdapter:
    """See `providers.adapters.base.Adapter`. The table of answers in docs/providers.md lists the rules."""

    async def create(self, provider: Provider, http: Http, order: Order) -> Copy:
        body = json.dumps(fill(provider.create_body, {**asdict(order), "id": str(order.id)})).encode()
        path, within = provider.create_path, provider.create_timeout
        answer = await _call(provider, http, order.id, "POST", path, within, body)
        match answer.status:
            case status if 200 <= status < 300:
                return _copy(provider, answer)
            case 409:
                raise Exists("it exists already", answer.call)
            case 400 | 404 | 422:
                raise Refused(_reason(answer, _hidden(provider, order.id)), answer.call)
        # 5xx and statuses outside of the table: the transaction may exist, and a later status check finds out.
        raise Unclear(f"the create was answered {answer.status}", answer.call)

    async def read(self, provider: Provider, http: Http, id: UUID) -> Copy:
        answer = await _call(provider, http, id, "GET", provider.status_path, READ_TIMEOUT)
        if 200 <= answer.status < 300:
            if not isinstance(_json(answer), dict):
                # A maintenance page with status 200 does not prove that the transaction exists.
                raise Unclear("the answer to the status check is not a JSON object", answer.call)
            return _copy(provider, answer)
        if answer.status == 404:
            raise Absent("the status check did not find it", answer.call)
        raise Unclear(f"the status check was answered {answer.status}", answer.call)


async def _call(
    provider: Provider, http: Http, id: UUID, method: str, path: str, within: float, body: bytes | None = None
) -> Response:
    """Make one call. Raise the error of the answers that mean the same for all calls: none, 401, 403, 429."""
    url = provider.base_url.rstrip("/") + path.replace("{id}", str(id))
    headers = {"Accept": "application/json"}
    if body is not None:
        headers |= {"Idempotency-Key": str(id), "Content-Type": "application/json"}
    headers |= provider.headers
    try:
        answer = await http.call(method, url, headers=headers, body=body, within=within, hidden=_hidden(provider, id))
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


def _hidden(provider: Provider, id: UUID) -> set[str]:
    """Return the secrets that are masked in answers: values of headers, and the tokens of the webhook URL.

    Shorter values are no secrets and occur in many answers.
    """
    words = {word for value in provider.headers.values() for word in (value, *value.split())}
    return {word for word in words if len(word) >= SHORTEST_SECRET} | set(url_tokens(provider.slug, id))


def _copy(provider: Provider, answer: Response) -> Copy:
    status, unmapped = reading_of(provider, at_path(_json(answer), provider.status_field))
    return Copy(status, answer.call, unmapped)


def _json(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _reason(answer: Response, hidden: set[str]) -> str:
    """Return the reason of a refusal for the client: from one of the usual fields, or else the answer's status."""
    body = _json(answer)
    for field in ("detail", "message", "reason", "error", "title"):
        reason = at_path(body, field)
        if isinstance(reason, dict):
            reason = reason.get("message")
        if isinstance(reason, str) and reason.strip():
            return as_storable(hide(reason.strip(), hidden), REASON_LENGTH)
    return f"the provider answered {answer.status}"
