"""Client's notification endpoint: verifies signatures, records notifications and finds contradictions."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import NamedTuple

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from sandbox import wire
from sandbox.faults import Switch, error
from sandbox.wire import JSON, Answer, Raw, send

FINAL = frozenset({"completed", "declined", "failed"})
CONFIRMED = Answer(200, b'{"received": true}')
CONFIRMATIONS: dict[str, Answer | Raw] = {
    "drip": wire.drip(CONFIRMED),
    "endless": wire.endless(CONFIRMED),
    "cut": wire.cut(CONFIRMED),
    "reset": wire.reset(CONFIRMED),
    "bad-chunk": wire.bad_chunk(CONFIRMED),
    "body-204": wire.unannounced_body(CONFIRMED),
    "gzip": Answer(200, CONFIRMED.content, {**JSON, "Content-Encoding": "gzip"}),
    "br": Answer(200, CONFIRMED.content, {**JSON, "Content-Encoding": "br"}),
    "big-header": Answer(200, CONFIRMED.content, {**JSON, "X-Trace": "x" * 9_000}),
    "close-early": wire.close_early(CONFIRMED, 0.01),
}
"""Answers that confirm a notification by their status, although something is wrong after it, by mode."""


class Message(NamedTuple):
    """The contents of a notification's body."""

    id: str
    status: str
    type: str | None
    sequence: int | None
    reference: str | None
    provider_transaction_id: str | None


class Notification(NamedTuple):
    """A received notification."""

    at: float  # unix seconds
    webhook_id: str | None
    type: str | None
    status: str
    sequence: int | None
    verdict: str  # new, repeated, stale (not final after a final one) or conflicting (another final one)
    confirmation: str  # how it was confirmed: `ok`, or an odd mode


@dataclass(slots=True)
class ClientTransaction:
    """The client's record of one transaction; the first final status is kept."""

    notifications: list[Notification] = field(default_factory=list)
    final: str | None = None
    reference: str | None = None
    provider_transaction_id: str | None = None

    def verdict(self, message: Message, webhook_id: str | None) -> str:
        """Classify a notification. A repeated one has a known sequence, or a known webhook id if it has no sequence."""
        if self.final and message.status not in FINAL:
            return "stale"
        if self.final and message.status != self.final:
            return "conflicting"
        if message.sequence is None:
            seen = webhook_id is not None and any(known.webhook_id == webhook_id for known in self.notifications)
        else:
            seen = any(known.sequence == message.sequence for known in self.notifications)
        return "repeated" if seen else "new"

    def state(self) -> dict[str, object]:
        """Return its part of /state."""
        return {
            "reference": self.reference,
            "provider_transaction_id": self.provider_transaction_id,
            "notifications": [notification._asdict() for notification in self.notifications],
            "final": self.final,
        }


class Client:
    """The simulated client with its records and its fault switch."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self.switch = Switch("down", "hang", "500", "410", "429", odd=("odd", *CONFIRMATIONS))
        self.timestamps = Switch(odd=("any",))
        self._verifiers = [Webhook(secret) for secret in secrets]
        self.reset()

    def reset(self) -> None:
        """Delete all notifications and end a fault."""
        self.switch.reset()
        self.timestamps.reset()
        self._transactions: dict[str, ClientTransaction] = {}
        self._bad_signatures = 0
        self._invalid = 0
        self._in_turn = cycle(CONFIRMATIONS)
        self._verdicts = dict.fromkeys(("repeated", "stale", "conflicting", "new"), 0)

    async def receive(self, request: web.Request) -> web.Response:
        """POST, PUT or PATCH /client/callback: 204, or 401 if no secret verifies the signature.

        In an odd mode it records the notification, too, and confirms it by an odd answer.
        """
        fault = await self.switch.fault(request)
        if fault is not None:
            return fault
        raw = await request.read()
        if not self._is_authentic(raw, request.headers):
            self._bad_signatures += 1
            return error(401, "missing, wrong or stale signature")
        message = read_message(raw)
        if message is None:
            self._invalid += 1
            return error(400, "the body needs an id and a status, at the top level or in data")
        confirmation = self._confirmation()
        self._record(message, request.headers.get("webhook-id"), confirmation)
        return await send(request, CONFIRMATIONS.get(confirmation, Answer(204, headers={})))

    def state(self, last: int | None) -> dict[str, object]:
        """Return its part of /state, with only the `last` transactions if a number is given."""
        newest = islice(reversed(self._transactions.items()), last)
        return {
            "transactions": {key: transaction.state() for key, transaction in newest},
            "known": len(self._transactions),
            "bad_signatures": self._bad_signatures,
            "invalid": self._invalid,
            **self._verdicts,
            "faulted": self.switch.faulted,
        }

    def _is_authentic(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        """Return whether a secret verifies the signature; in the mode `any` of `timestamps`, whatever its time."""
        verifies = _signed if self.timestamps.mode == "any" else _verifies
        return not self._verifiers or any(verifies(verifier, raw, headers) for verifier in self._verifiers)

    def _confirmation(self) -> str:
        """Return the mode of the answer to an authentic notification, and count an odd one. `odd`: each in turn."""
        mode = self.switch.mode
        if mode == "odd":
            mode = next(self._in_turn)
        self.switch.faulted += mode in CONFIRMATIONS
        return mode

    def _record(self, message: Message, webhook_id: str | None, confirmation: str) -> None:
        transaction = self._transactions.setdefault(message.id, ClientTransaction())
        verdict = transaction.verdict(message, webhook_id)
        self._verdicts[verdict] += 1
        transaction.notifications.append(
            Notification(time.time(), webhook_id, message.type, message.status, message.sequence, verdict, confirmation)
        )
        transaction.reference = message.reference or transaction.reference
        transaction.provider_transaction_id = message.provider_transaction_id or transaction.provider_transaction_id
        if transaction.final is None and message.status in FINAL:
            transaction.final = message.status


def _verifies(verifier: Webhook, raw: bytes, headers: Mapping[str, str]) -> bool:
    try:
        verifier.verify(raw, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: malformed headers or body
        return False
    return True


def _signed(verifier: Webhook, raw: bytes, headers: Mapping[str, str]) -> bool:
    try:
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        return verifier.sign(headers["webhook-id"], at, raw.decode()) in headers["webhook-signature"].split()
    except (KeyError, ValueError, OverflowError):
        return False


def read_message(raw: bytes) -> Message | None:
    """Read `{"type", "data": {transaction}}`, or a flat `{"id", "status", ...}`; return None for another body."""
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    data = body.get("data", body) if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("id"), str) or not isinstance(data.get("status"), str):
        return None
    sequence = data.get("sequence")
    return Message(
        id=data["id"],
        status=data["status"],
        type=_text(body.get("type")),
        sequence=sequence if isinstance(sequence, int) else None,
        reference=_text(data.get("reference")),
        provider_transaction_id=_text(data.get("provider_transaction_id")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
