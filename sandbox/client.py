"""A client's notification endpoint: verifies what it is told, and notes what it should not have been told."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from sandbox.faults import Switch, error

FINAL = frozenset({"completed", "declined", "failed"})


class News(NamedTuple):
    """What a notification says, wherever in its body it says it."""

    id: str
    status: str
    type: str | None
    sequence: int | None
    reference: str | None
    provider_transaction_id: str | None


class Notification(NamedTuple):
    at: float  # unix seconds
    webhook_id: str | None
    type: str | None
    status: str
    sequence: int | None
    verdict: str  # new, repeated, stale (not final after a final one) or conflicting (another final one)


@dataclass(slots=True)
class Told:
    """What the client knows of one of its transactions; its first final status stands."""

    notifications: list[Notification] = field(default_factory=list)
    final: str | None = None
    reference: str | None = None
    provider_transaction_id: str | None = None

    def verdict(self, news: News, webhook_id: str | None) -> str:
        """`repeated` is told by the sequence, or where the body has none by the webhook's id."""
        if self.final and news.status not in FINAL:
            return "stale"
        if self.final and news.status != self.final:
            return "conflicting"
        if news.sequence is None:
            seen = webhook_id is not None and any(known.webhook_id == webhook_id for known in self.notifications)
        else:
            seen = any(known.sequence == news.sequence for known in self.notifications)
        return "repeated" if seen else "new"

    def state(self) -> dict[str, object]:
        """Its part of /state."""
        return {
            "reference": self.reference,
            "provider_transaction_id": self.provider_transaction_id,
            "notifications": [notification._asdict() for notification in self.notifications],
            "final": self.final,
        }


class Client:
    def __init__(self, secrets: tuple[str, ...]) -> None:
        self.switch = Switch("down", "hang", "500", "410", "429")
        self._verifiers = [Webhook(secret) for secret in secrets]
        self.reset()

    def reset(self) -> None:
        """Forgets every notification and ends a fault."""
        self.switch.reset()
        self._told: dict[str, Told] = {}
        self._bad_signatures = 0
        self._invalid = 0
        self._verdicts = dict.fromkeys(("repeated", "stale", "conflicting", "new"), 0)

    async def notified(self, request: web.Request) -> web.Response:
        """POST, PUT or PATCH /client/callback: 204, or 401 for a signature that none of the secrets made."""
        fault = await self.switch.fault(request)
        if fault is not None:
            return fault
        raw = await request.read()
        if not self._is_authentic(raw, request.headers):
            self._bad_signatures += 1
            return error(401, "missing, wrong or stale signature")
        news = read_news(raw)
        if news is None:
            self._invalid += 1
            return error(400, "the body needs an id and a status, at its top or in data")
        self._note(news, request.headers.get("webhook-id"))
        return web.Response(status=204)

    def state(self, last: int | None) -> dict[str, object]:
        """Its part of /state, with the `last` transactions only where a number is given."""
        newest = islice(reversed(self._told.items()), last)
        return {
            "transactions": {key: told.state() for key, told in newest},
            "known": len(self._told),
            "bad_signatures": self._bad_signatures,
            "invalid": self._invalid,
            **self._verdicts,
            "faulted": self.switch.faulted,
        }

    def _is_authentic(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        return not self._verifiers or any(_verifies(verifier, raw, headers) for verifier in self._verifiers)

    def _note(self, news: News, webhook_id: str | None) -> None:
        told = self._told.setdefault(news.id, Told())
        verdict = told.verdict(news, webhook_id)
        self._verdicts[verdict] += 1
        told.notifications.append(Notification(time.time(), webhook_id, news.type, news.status, news.sequence, verdict))
        told.reference = news.reference or told.reference
        told.provider_transaction_id = news.provider_transaction_id or told.provider_transaction_id
        if told.final is None and news.status in FINAL:
            told.final = news.status


def _verifies(verifier: Webhook, raw: bytes, headers: Mapping[str, str]) -> bool:
    try:
        verifier.verify(raw, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: headers or a body too broken to compare
        return False
    return True


def read_news(raw: bytes) -> News | None:
    """Reads `{"type", "data": {transaction}}`, or a flat `{"id", "status", ...}` of the client's own shape."""
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    data = body.get("data", body) if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("id"), str) or not isinstance(data.get("status"), str):
        return None
    sequence = data.get("sequence")
    return News(
        id=data["id"],
        status=data["status"],
        type=_text(body.get("type")),
        sequence=sequence if isinstance(sequence, int) else None,
        reference=_text(data.get("reference")),
        provider_transaction_id=_text(data.get("provider_transaction_id")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
