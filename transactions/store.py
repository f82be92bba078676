"""The functions that write transactions: accept a new one, apply observations to existing ones."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from clients.settings import ClientSettings
from providers.models import Provider
from providers.status import Status
from transactions import sql
from transactions.observations import Applied, Observation
from transactions.snapshot import TransactionSnapshot
from workers.announce import announce
from workers.foundation.database import retry_once, rows
from workers.foundation.ids import uuid7
from workers.lanes import Lane
from workers.models import JobKind
from workers.outcomes import Wake
from workers.periodic import Walk

PENDING_AFTER = 0.2
"""Seconds after acceptance until the `pending` notification, if no final status is known by then."""

STALLED_AT_ONCE = 500
"""Limit on transactions that one statement flags as stalled, for each reason."""
WALKED_AT_ONCE = 200
"""Number of pending transactions whose jobs are searched in one step. A million of them take less than 90 minutes."""

_pending = Walk(lambda after: rows(sql.JOBLESS, after=str(after), most=WALKED_AT_ONCE), UUID(int=0), every=60.0)


class IdempotencyMismatch(Exception):
    """The id was used for a transaction with different content."""

    problem = "idempotency-mismatch"


class NoProvider(Exception):
    """Set `provider`: this client has no default."""


@dataclass(frozen=True, slots=True)
class Order:
    """A validated request for a transaction. `provider_named`: the request itself named the provider."""

    client_ref: str
    amount: int
    currency: str
    reference: str
    metadata: dict[str, str]
    provider: Provider | None
    """None: the request names no provider and the client has no default."""
    provider_named: bool


def accept(*, client: ClientSettings, order: Order) -> tuple[TransactionSnapshot, bool]:
    """Store a transaction with its jobs in one statement; return it, and True if it is new.

    Once this returns, only the loss of the database loses the transaction. The same id with the same content returns
    the transaction as it is now. Raises IdempotencyMismatch for other content, NoProvider for a new transaction without
    a provider, and django.db's errors (`is_away`) when the database is away: the transaction may have been stored then,
    and repeating the request shows it.
    """
    if (provider := order.provider) is not None:
        inserted = retry_once(lambda: _insert(client, order, provider))
        if inserted is not None:
            create, track = Wake(JobKind.CREATE, provider.lane), Wake(JobKind.TRACK, provider.lane, provider.first_poll)
            announce((create, Wake(JobKind.NOTIFY, client.lane, PENDING_AFTER), track))
            return inserted, True
    found = retry_once(lambda: find(client_id=client.id, client_ref=order.client_ref))
    if found is None:
        raise NoProvider(NoProvider.__doc__)
    if not _same(found, order):
        raise IdempotencyMismatch
    return found, False


def find(*, client_id: int, client_ref: str) -> TransactionSnapshot | None:
    """Return a client's transaction by the client's own id; None if there is none."""
    return _one(sql.BY_CLIENT_REF, {"client": client_id, "client_ref": client_ref})


def apply(observations: Sequence[tuple[UUID, Observation]]) -> tuple[list[Applied], list[Wake]]:
    """Apply observations in the current database transaction, those of one transaction in their order.

    Returns the effect of each and the lanes that have work now, which the caller announces after the commit.
    Transactions that do not exist are left out of the answer.
    """
    applied: list[Applied] = []
    wakes: set[Wake] = set()
    for batch in _one_per_transaction(observations):
        given = json.dumps([asdict(one) | {"id": id_} for id_, one in batch.items()], default=str)
        for id_, client, won, contradicts, before in rows(sql.APPLY, observations=given):
            applied.append(Applied(id_, won, contradicts, Status(before)))
            if won:
                wakes.add(Wake(JobKind.NOTIFY, Lane.client(client)))
    return applied, list(wakes)


def flag_stalled() -> bool:
    """Flag transactions without progress for STALLED_AFTER seconds, or without a job; return True if there are more.

    Every worker process may run it at any time: rows that another one holds are left to it.
    """
    jobless = [str(id_) for _, id_ in _pending.step() if id_]
    [(flagged,)] = rows(sql.FLAG_STALLED, after=settings.STALLED_AFTER, most=STALLED_AT_ONCE, jobless=jobless)
    return int(flagged) >= STALLED_AT_ONCE


def lock(ids: Collection[UUID]) -> None:
    """Lock these transactions in the order of their ids until the current database transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK, {"ids": [str(id_) for id_ in ids]})


def _insert(client: ClientSettings, order: Order, provider: Provider) -> TransactionSnapshot | None:
    given = {
        "id": client.transaction_id(order.client_ref),
        "sort_id": uuid7(),
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
        "pending_after": PENDING_AFTER,
    }
    return _one(sql.ACCEPT, given)


def _one(statement: str, given: dict[str, Any]) -> TransactionSnapshot | None:
    """Execute a statement that returns at most one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        row = cursor.fetchone()
    return TransactionSnapshot.from_row(row) if row else None


def _same(snapshot: TransactionSnapshot, order: Order) -> bool:
    """Return whether a request repeats this transaction. A provider that the request does not name may differ."""
    if order.provider is not None and order.provider_named and snapshot.provider_id != order.provider.id:
        return False
    names = ("amount", "currency", "reference", "metadata")
    return all(getattr(snapshot, name) == getattr(order, name) for name in names)


def _one_per_transaction(observations: Iterable[tuple[UUID, Observation]]) -> list[dict[UUID, Observation]]:
    """Split observations into batches with at most one per transaction, those of one transaction in their order."""
    batches: list[dict[UUID, Observation]] = []
    for id_, one in observations:
        batch = next((batch for batch in batches if id_ not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[id_] = one
    return batches
