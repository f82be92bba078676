"""Effects of an authentic webhook: recorded once, applied by compare-and-set, in one short transaction."""

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from providers.answers import at_path, reading_of, reason_of, text_of, word_of
from providers.models import Provider
from providers.status import FINAL
from transactions.api.parsing import MAX_BODY
from transactions.observations import Applied, Observation, at_provider
from transactions.status import Source
from transactions.store import apply
from webhooks import sql
from webhooks.incoming.authentication import Sender
from webhooks.incoming.bodies import Malformed, parse
from webhooks.models import Webhook
from workers.announce import announce
from workers.foundation.database import retry_once
from workers.foundation.ids import as_uuid
from workers.foundation.text import as_storable

log = structlog.get_logger(__name__)


def receive(provider: Provider, sender: Sender, body: bytes, content_type: str = "") -> str:
    """Record and apply an authentic, decompressed webhook. Return its effect: a `Webhook.Result`, or `repeated`.

    Raises Malformed for a body that cannot be parsed, and the errors of django.db (`is_away`) if the database is
    unavailable.
    """
    data = parse(body, content_type)
    given_id, word = _id_in(provider, sender, data), word_of(at_path(data, provider.webhook_status_field))
    id_ = sender.transaction_id or as_uuid(given_id)
    webhook_id = as_storable(sender.webhook_id or _digest(sender.transaction_id, body), 255)
    row = {
        "provider": provider.id,
        "webhook_id": webhook_id,
        "given_id": given_id,
        "word": word,
        "body": as_storable(text_of(body, content_type), MAX_BODY),
    }
    observation = None
    if word and (id_ or given_id):
        observation = observation_of(provider, webhook_id, word, reason_of(data))
    return retry_once(lambda: _apply_once(row, id_, observation))


def observation_of(provider: Provider, webhook_id: str, word: str, reason: str) -> Observation:
    """Return the observation of a webhook with this status and reason in the provider's words."""
    status, unmapped = reading_of(provider, word)
    seen = at_provider(Source.WEBHOOK, status, unmapped, reason)
    return replace(seen, provider=provider.id, detail=seen.detail | {"webhook": webhook_id})


def _apply_once(row: dict[str, Any], id_: UUID | None, told: Observation | None) -> str:
    """Apply a webhook in one transaction; roll back a repeated one and count it. `told` is None for an ignored one."""
    observation = told or Observation(Source.WEBHOOK, provider=row["provider"])  # changes nothing
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        applied, wakes = apply([(id_, observation)] if id_ else [])
        result = judge(applied) if told else Webhook.Result.IGNORED
        found = id_ if applied else None
        if id_ and not applied:
            row |= {"given_id": row["given_id"] or str(id_)}  # an id in the URL; `incoming.unmatched` searches for it
        cursor.execute(sql.RECORD, {**row, "transaction": found, "result": result})
        if repeated := cursor.fetchone() is None:
            transaction.set_rollback(True)
    if repeated:
        with connection.cursor() as cursor:
            cursor.execute(sql.REPEATED, row)
        return "repeated"
    announce(wakes)
    log.debug("A webhook was received", action="webhook_received", webhook={"id": row["webhook_id"], "result": result})
    return result


def judge(applied: list[Applied]) -> Webhook.Result:
    """Return the effect of a webhook by that of its observation."""
    if not applied:
        return Webhook.Result.UNMATCHED
    if applied[0].won:
        return Webhook.Result.APPLIED
    if applied[0].contradicts:
        return Webhook.Result.CONTRADICTING
    if applied[0].status_before in FINAL:
        return Webhook.Result.LATE
    return Webhook.Result.NOTED


def _id_in(provider: Provider, sender: Sender, data: Any) -> str:
    """Return the id in a webhook's body; empty if there is none. Raises Malformed if the URL has another one."""
    value = at_path(data, provider.webhook_id_field)
    id_ = word_of(value) if not isinstance(value, bool) else ""
    if id_ and sender.transaction_id not in (None, as_uuid(id_)):
        raise Malformed("The id in the body differs from the id in the URL.")
    return id_


def _digest(id_: UUID | None, body: bytes) -> str:
    """Return the id of a webhook without one: equal for the same body and transaction."""
    return "sha256:" + hashlib.sha256(f"{id_}.".encode() + body).hexdigest()
