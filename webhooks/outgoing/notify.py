"""The handler `notify`: tell the client's endpoint how its transaction stands, signed, until it confirms."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from standardwebhooks import Webhook as Signer

from transactions import sql
from transactions.config import ClientSettings, client_settings, provider_by_id
from transactions.handlers.work import given_up, snapshots
from transactions.news import apply
from transactions.records import Record, rfc3339
from transactions.reviews import client_told
from transactions.template import fill
from webhooks.sql import ENDPOINTS
from workers.outbound import CallFailed, Http, Response
from workers.registry import Again, Call, Claim, Done, Failed, Outcome, Settled, Wake

log = structlog.get_logger(__name__)

TIMEOUT = 15.0
"""Seconds an endpoint has to confirm."""
DELAYS = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Seconds before each further try (the Standard Webhooks specification's schedule); jittered by 20 %."""
LONGEST_WAIT = 36000.0
"""Seconds that an endpoint's Retry-After is believed at the most."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A claimed notification: the transaction as it is now, whatever it was when the job was written."""

    claim: Claim
    record: Record
    provider_slug: str
    client: ClientSettings


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint said: it confirmed this sequence, or it is gone for good."""

    confirmed: int = 0
    gone: bool = False


def load(claims: Sequence[Claim]) -> Mapping[int, Notice]:
    """The notices of claimed jobs. A status that a later one has followed has a later job: it is not told any more."""
    notices: dict[int, Notice] = {}
    found = snapshots(claims)
    for claim in claims:
        if claim.id not in found:
            continue
        record = found[claim.id][0]
        client, provider = client_settings(record.client_id), provider_by_id(record.provider_id)
        superseded = claim.key.startswith("seq:") and claim.key != f"seq:{record.sequence}"
        if client is not None and provider is not None and not superseded:
            notices[claim.id] = Notice(claim, record, provider.slug, client)
    return notices


async def notify(notice: Notice, http: Http) -> Outcome:
    """One delivery. 2xx confirms; 410 disables the endpoint; 429 and 503 say when; all else is tried again."""
    body = _body(notice)
    method, url = notice.client.callback_method, notice.client.callback_url
    try:
        answer = await http.call(method, url, headers=_headers(notice, body), body=body, within=TIMEOUT)
    except CallFailed as error:
        return _later(notice, str(error), error.call)
    if 200 <= answer.status < 300:
        return Outcome(Done(), Answer(confirmed=notice.record.sequence), (answer.call,))
    if answer.status == 410:
        # The endpoint's lane stops; this waits in it like all other news, until an operator enables the endpoint.
        again = Again(5.0, why="the endpoint answered 410: it is gone")
        return Outcome(again, Answer(gone=True), (answer.call,))
    return _later(notice, f"the endpoint answered {answer.status}", answer.call, _asked_to_wait(answer))


def record(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Keep what clients confirmed, disable endpoints that stay away, ask for a person where a client cannot be told."""
    answers = [(claim, outcome.news) for claim, outcome in settled if isinstance(outcome.news, Answer)]
    if confirmed := [{"id": str(c.transaction_id), "sequence": a.confirmed} for c, a in answers if a.confirmed]:
        with connection.cursor() as cursor:
            cursor.execute(sql.CONFIRMED, {"confirmed": json.dumps(confirmed)})
            flagged = [id_ for (id_,) in cursor.fetchall() if id_]
        for id_ in flagged:
            client_told(id_)
    _judge_endpoints(settled)
    failed = [(claim, outcome.next.reason) for claim, outcome in settled if isinstance(outcome.next, Failed)]
    _, wakes = apply([(claim.transaction_id, given_up(claim, reason)) for claim, reason in failed])
    return wakes


def _judge_endpoints(settled: Sequence[Settled]) -> None:
    """Note which endpoints fail and which do no longer, and disable those that are gone or have failed for too long."""
    told: dict[int, dict[str, Any]] = {}
    for claim, outcome in settled:
        answer = outcome.news if isinstance(outcome.news, Answer) else Answer()
        if outcome.calls or answer.gone:
            client = int(claim.lane[1:])
            one = told.setdefault(client, {"id": client, "confirmed": False, "gone": False})
            one["confirmed"] |= answer.confirmed > 0
            one["gone"] |= answer.gone
    if not told:
        return
    patience = settings.ENDPOINT_DISABLED_AFTER
    why = f"every delivery has failed for {patience / 3600:g} hours"
    with connection.cursor() as cursor:
        cursor.execute(ENDPOINTS, {"told": json.dumps(list(told.values())), "patience": patience, "why": why})
        for name, ended in cursor.fetchall():
            if ended:
                log.warning("An endpoint is disabled", action="endpoint_disabled", client={"name": name, "why": ended})


def _later(notice: Notice, why: str, call: Call, asked: float = 0.0) -> Outcome:
    tries = notice.claim.step
    if tries >= len(DELAYS):
        return Outcome(Failed(f"given up after {tries + 1} tries: {why}"), None, (call,))
    after = DELAYS[tries] * random.uniform(0.8, 1.2)  # noqa: S311  no secret
    # Never sooner than the schedule: an endpoint that asks for seconds during a restart would use up all tries in them.
    return Outcome(Again(max(after, min(asked, LONGEST_WAIT)), tries + 1, why), None, (call,))


def _asked_to_wait(answer: Response) -> float:
    return (answer.retry_after() or 0.0) if answer.status in (429, 503) else 0.0


def _body(notice: Notice) -> bytes:
    record = notice.record
    if notice.client.callback_body is not None:
        return json.dumps(fill(notice.client.callback_body, _values(record))).encode()
    data = record.as_json(notice.provider_slug)
    message = {"type": f"transaction.{record.status}", "timestamp": rfc3339(datetime.now(UTC)), "data": data}
    return json.dumps(message).encode()


def _values(record: Record) -> Mapping[str, Any]:
    """What the placeholders of a client's own body stand for."""
    return {
        "id": record.client_ref,
        "status": record.status,
        "sequence": record.sequence,
        "amount": record.amount,
        "currency": record.currency,
        "reference": record.reference or None,
        "provider_transaction_id": str(record.id),
    }


def _headers(notice: Notice, body: bytes) -> dict[str, str]:
    """Sign with every live secret, so that a receiver can switch to a new one at any time."""
    claim, now = notice.claim, datetime.now(UTC)
    message_id = f"msg_{claim.transaction_id.hex}_{claim.key.replace(':', '-')}"
    signatures = [Signer(secret).sign(message_id, now, body.decode()) for secret in notice.client.callback_secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
