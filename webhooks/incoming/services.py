"""Effects of an authentic webhook: recorded once, applied by compare-and-set, in one short transaction."""

import hashlib
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from providers.answers import at_path, reading_of
from providers.models import Provider
from providers.status import FINAL, Status
from transactions.observations import Applied, Observation, at_provider
from transactions.status import Source
from transactions.store import apply
from webhooks import sql
from webhooks.incoming.authentication import Sender
from webhooks.models import Webhook
from workers.announce import announce
from workers.foundation.database import retry_once
from workers.foundation.text import as_storable

log = structlog.get_logger(__name__)


class Malformed(Exception):
    """The body of an authentic webhook does not match the provider's settings."""


def receive(provider: Provider, sender: Sender, body: bytes) -> str:
    """Record and apply an authentic webhook. Return its effect: a `Webhook.Result`, or `repeated`.

    Raises Malformed for an unusable body, and the errors of django.db (`is_away`) if the database is unavailable.
    """
    given_id, word = _read(provider, sender, body)
    status, unmapped = reading_of(provider, word)
    webhook_id = sender.webhook_id or _digest(sender.transaction_id, body)
    row = {
        "provider": provider.id,
        "webhook_id": webhook_id,
        "given_id": given_id,
        "word": word,
        "body": body.decode("utf-8", "replace").replace("\x00", "�"),
    }
    observation = at_provider(Source.WEBHOOK, status, unmapped)
    observation = replace(observation, provider=provider.id, detail=observation.detail | {"webhook": webhook_id})
    return retry_once(lambda: _apply_once(row, _uuid(given_id), observation, status))


def _apply_once(row: dict[str, Any], id_: UUID | None, observation: Observation, status: Status) -> str:
    """Apply a webhook in one transaction; roll back a repeated one and count it."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        applied, wakes = apply([(id_, observation)] if id_ else [])
        result = _judge(applied, status)
        found = id_ if applied else None
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


def _judge(applied: list[Applied], status: Status) -> Webhook.Result:
    if not applied:
        return Webhook.Result.UNMATCHED
    if applied[0].won:
        return Webhook.Result.APPLIED
    if applied[0].contradicts:
        return Webhook.Result.CONTRADICTING
    if applied[0].status_before in FINAL:
        return Webhook.Result.LATE
    return Webhook.Result.NOTED


def _read(provider: Provider, sender: Sender, body: bytes) -> tuple[str, str]:
    """Return the id and the provider's status in a webhook's body. Raises Malformed."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is invalid JSON.") from error
    given_id, word = at_path(data, provider.webhook_id_field), at_path(data, provider.webhook_status_field)
    if not isinstance(given_id, str) or not given_id:
        raise Malformed(f"The body has no id in {provider.webhook_id_field!r}.")
    if not isinstance(word, str | int) or isinstance(word, bool):
        raise Malformed(f"The body has no status in {provider.webhook_status_field!r}.")
    if sender.transaction_id is not None and _uuid(given_id) != sender.transaction_id:
        raise Malformed("The id in the body differs from the id in the URL.")
    return as_storable(given_id, 100), as_storable(str(word), 100)


def _digest(id_: UUID | None, body: bytes) -> str:
    """Return the id of a webhook without one: equal for the same body and transaction."""
    return "sha256:" + hashlib.sha256(f"{id_}.".encode() + body).hexdigest()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def count_refusal(provider: Provider | None, reason: str) -> None:
    """Count a refused webhook, of which nothing else is stored. `provider` is None if it is unknown."""
    with connection.cursor() as cursor:
        cursor.execute(sql.REFUSED, {"provider": provider.id if provider else None, "reason": reason})
