"""What callers may ask of transactions: accept one, tell its client again."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from transactions import sql
from transactions.config import ClientSettings, ProviderSettings
from transactions.database import retry_once
from transactions.ids import uuid7
from transactions.models import Transaction
from transactions.records import Record
from workers.announce import announce
from workers.models import Job, JobState
from workers.registry import Wake

FIRST_NEWS = 0.2
"""Seconds after acceptance at which the client is told `pending`, when nothing final is known by then."""


class IdempotencyMismatch(Exception):
    """This id was used for a transaction with other content. Use a new id for a new transaction."""


class NoProvider(Exception):
    """You have no default provider: name one."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for; already validated. `provider_named`: the request itself named the provider."""

    client_ref: str
    amount: int
    currency: str
    reference: str
    metadata: dict[str, str]
    provider: ProviderSettings | None
    """None: the request names none, and the client has no default provider (any more)."""
    provider_named: bool


def accept(*, client: ClientSettings, order: Order) -> tuple[Record, bool]:
    """Store a transaction with its jobs in one statement; returns it and whether it is new.

    Once this returns, nothing short of losing the database loses the transaction. The same id with the same content
    gives the transaction as it is now. Raises IdempotencyMismatch for other content, NoProvider for a new one without
    a provider, and django.db's errors (`is_away`) when the database is away: whether it was stored is unknown then, and
    the same request tells.
    """
    if (provider := order.provider) is not None:
        row = retry_once(lambda: _insert(client, order, provider))
        if row is not None:
            announce(
                (
                    Wake("create", provider.lane),
                    Wake("notify", client.lane, FIRST_NEWS),
                    Wake("track", provider.lane, provider.first_poll),
                )
            )
            return Record.from_row(row), True
    record = retry_once(lambda: find(client_id=client.id, client_ref=order.client_ref))
    if record is None:
        raise NoProvider(NoProvider.__doc__)
    if not _same(record, order):
        raise IdempotencyMismatch(IdempotencyMismatch.__doc__)
    return record, False


def find(*, client_id: int, client_ref: str) -> Record | None:
    """A client's transaction by the client's own id."""
    with connection.cursor() as cursor:
        cursor.execute(sql.BY_CLIENT_REF, {"client": client_id, "client_ref": client_ref})
        row = cursor.fetchone()
    return Record.from_row(row) if row else None


def tell_again(record: Record) -> None:
    """Have the current status sent to the client's endpoint now; where one waits to be sent, that one is."""
    with transaction.atomic(durable=True):
        wake = send_again(Transaction.objects.select_for_update().get(pk=record.id))  # one at a time
    announce([wake])


def send_again(of: Transaction) -> Wake:
    """The same in the database transaction that holds the row's lock. Announce the wake after the commit."""
    lane = f"c{of.client_id}"
    if not waiting_news(of).update(run_at=Now()):
        Job.objects.create(transaction_id=of.pk, kind="notify", key=f"again:{uuid4()}", lane=lane)
    return Wake("notify", lane)


def waiting_news(of: Transaction) -> QuerySet[Job]:
    """Notifications of its current status that wait to be sent; not those of an earlier one, which will not be."""
    current = Q(key=f"seq:{of.sequence}") | Q(key__startswith="again:")
    return Job.objects.filter(current, transaction_id=of.pk, kind="notify", state=JobState.WAITING)


def _insert(client: ClientSettings, order: Order, provider: ProviderSettings) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            sql.ACCEPT,
            {
                "id": uuid7(),
                "client": client.id,
                "client_ref": order.client_ref,
                "provider": provider.id,
                "amount": order.amount,
                "currency": order.currency,
                "reference": order.reference,
                "metadata": json.dumps(order.metadata),
                "provider_lane": provider.lane,
                "client_lane": client.lane,
                "first_poll": provider.first_poll,
                "first_news": FIRST_NEWS,
            },
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _same(record: Record, order: Order) -> bool:
    same = (record.amount, record.currency, record.reference, record.metadata) == (
        order.amount,
        order.currency,
        order.reference,
        order.metadata,
    )
    named = order.provider if order.provider_named else None
    return same and (named is None or record.provider_id == named.id)
