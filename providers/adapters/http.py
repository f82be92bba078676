"""The `http` adapter: JSON over HTTP. Paths, body, headers and the names of statuses are settings of the provider."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any
from uuid import UUID

from providers.adapters.base import (
    Absent,
    AccessDenied,
    Copy,
    CredentialsRefused,
    Exists,
    Order,
    Refused,
    Throttled,
    Unclear,
    Unsent,
    Unusable,
)
from providers.answers import NotJson, at_path, parse_json, reading_of, reason_of, status_of, word_of
from providers.models import READ_TIMEOUT, Provider
from providers.status import Status
from providers.webhook_urls import url_tokens
from workers.foundation.template import fill
from workers.foundation.text import as_storable
from workers.outbound import Http, NotSent, OutcomeUnknown, Response, hide

SHORTEST_SECRET = 6
"""Least number of characters of a header's value that is treated as a secret."""
QUOTED = 200
"""Limit in characters on the part of an unusable answer that operators see in its message."""


class HttpAdapter:
    """See `providers.adapters.base.Adapter`. The table of answers in docs/providers.md lists the rules."""

    async def create(self, provider: Provider, http: Http, order: Order) -> Copy:
        body = json.dumps(fill(provider.create_body, {**asdict(order), "id": str(order.id)})).encode()
        path, within = provider.create_path, provider.create_timeout
        answer = await _call(provider, http, order.id, "POST", path, within, body)
        match answer.status:
            case status if 200 <= status < 300:
                content = _json(answer)
                if _is_of_another_kind(answer, content):
                    raise Unclear(f"the create was answered {status} with a body that is no JSON", answer.call)
                reading = reading_of(provider, at_path(content, provider.status_field))
                return _copy(provider, order.id, answer, content, *reading)
            case 402:
                return _copy(provider, order.id, answer, _json(answer), Status.DECLINED)
            case 409:
                raise Exists("it exists already", answer.call)
            case 400 | 404 | 422:
                reason = reason_of(_json(answer), _hidden(provider, order.id))
                raise Refused(reason or f"the provider answered {answer.status}", answer.call)
        # 5xx and statuses outside of the table: the transaction may exist, and a later status check finds out.
        raise Unclear(f"the create was answered {answer.status}", answer.call)

    async def read(self, provider: Provider, http: Http, id: UUID) -> Copy:
        answer = await _call(provider, http, id, "GET", provider.status_path, READ_TIMEOUT)
        match answer.status:
            case status if 200 <= status < 300:
                content = _json(answer)
                word = word_of(at_path(content, provider.status_field))
                if (known := status_of(provider, word)) is None:
                    word = hide(word, _hidden(provider, id))
                    raise Unusable(_without_status(provider, answer, word), answer.call, word)
                return _copy(provider, id, answer, content, known)
            case 404:
                raise Absent("the status check did not find it", answer.call)
            case 301 | 308:
                to = as_storable(answer.headers.get("Location", "another address"), QUOTED)
                why = f"the status check was redirected ({answer.status}) to {to}: correct base_url or status_path"
                raise Unusable(hide(why, _hidden(provider, id)), answer.call)
            case status if status < 500:
                raise Unusable(f"the status check was answered {status}: {_quote(answer)}", answer.call)
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
        answer = await http.call(
            method, url, headers=headers, body=body, within=within, once=body is not None, hidden=_hidden(provider, id)
        )
    except NotSent as error:
        raise Unsent(str(error), error.call) from error
    except OutcomeUnknown as error:
        raise Unclear(str(error), error.call) from error
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise CredentialsRefused("it answered 401", answer.call)
    if answer.status == HTTPStatus.FORBIDDEN:
        raise AccessDenied(f"it answered 403: {_quote(answer)}", answer.call)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = answer.retry_after()
        raise Throttled("it answered 429", replace(answer.call, retry_after=wait or 0.0), wait)
    return answer


def _hidden(provider: Provider, id: UUID) -> set[str]:
    """Return the secrets that are masked in answers: values of headers, and the tokens of the webhook URL.

    Shorter values are no secrets and occur in many answers.
    """
    words = {word for value in provider.headers.values() for word in (value, *value.split())}
    return {word for word in words if len(word) >= SHORTEST_SECRET} | set(url_tokens(provider.slug, id))


def _is_of_another_kind(answer: Response, content: Any) -> bool:
    """Return whether the body is no JSON, such as a proxy's HTML page: the provider itself may not have answered.

    An empty body is none of another kind. Of a body that broke off or cannot be decoded, the content type decides.
    """
    if not answer.whole:
        return "html" in answer.headers.get("Content-Type", "").lower() or answer.body.lstrip()[:1] == b"<"
    return bool(answer.body.removeprefix(BOM_UTF8).strip()) and content is NotJson


def _copy(provider: Provider, id: UUID, answer: Response, content: Any, status: Status, unmapped: str = "") -> Copy:
    """Build the copy of an answer with this content; an unmapped word and a reason are given with masked secrets."""
    if not unmapped and status not in (Status.DECLINED, Status.FAILED):
        return Copy(status, answer.call)
    hidden = _hidden(provider, id)
    reason = "" if unmapped else reason_of(content, hidden)
    return Copy(status, answer.call, hide(unmapped, hidden), reason)


def _json(answer: Response) -> Any:
    """Return the body's value; the class `NotJson` if it has none."""
    try:
        return parse_json(answer.body, answer.headers.get("Content-Type", ""))
    except NotJson:
        return NotJson


def _without_status(provider: Provider, answer: Response, word: str) -> str:
    if word:
        return f"the status check was answered with a status that status_map lacks: {word}"
    return (
        f"the status check was answered {answer.status} without a status in {provider.status_field}: {_quote(answer)}"
    )


def _quote(answer: Response) -> str:
    """Return the start of the answer in the provider's own words, with its secrets masked."""
    return answer.call.excerpt[:QUOTED] or "its body is empty"
