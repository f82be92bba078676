"""Finding transactions by any id that somebody may have in hand: each way is one exact look-up by an index."""

from collections.abc import Callable, Iterable
from uuid import UUID

from transactions.models import Client, Transaction
from workers.ids import as_number, as_uuid
from workers.models import Job

MOST = 1000
"""Transactions that one search finds: only a reference can be shared by so many."""
HELP = "Our id, the client's id, the reference, a job's number or a webhook's id; the whole of it"

Finder = Callable[[str], Iterable[UUID]]
_finders: list[Finder] = []


def finder(find: Finder) -> Finder:
    """Register a way to find transactions; other apps that know ids of theirs add some."""
    _finders.append(find)
    return find


def known_as(term: str) -> list[UUID]:
    """The ids of the transactions that something calls by this name."""
    return list({id_ for find in _finders for id_ in find(term)})


@finder
def by_our_id(term: str) -> Iterable[UUID]:
    return [found] if (found := as_uuid(term)) else []


@finder
def by_clients_id(term: str) -> Iterable[UUID]:
    # The clients are named, for the index begins with them.
    rows = Transaction.objects.order_by().filter(client__in=Client.objects.order_by().values("pk"), client_ref=term)
    return rows.values_list("pk", flat=True)[:MOST]


@finder
def by_reference(term: str) -> Iterable[UUID]:
    return Transaction.objects.order_by().filter(reference=term).values_list("pk", flat=True)[:MOST]


@finder
def by_job(term: str) -> Iterable[UUID]:
    number = as_number(term)
    return Job.objects.filter(pk=number).values_list("transaction_id", flat=True) if number else []
