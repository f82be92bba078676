"""Pruning: walks through a table from its oldest row on and deletes old rows, in short transactions.

It can be stopped at any time and run again: the next walk begins anew and does not find what was deleted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from transactions import sql


@dataclass(frozen=True, slots=True)
class Sweep:
    """A walk through a table: the statement that deletes a batch, and the names of what it counts."""

    statement: str
    what: tuple[str, ...]


JOBS = Sweep(sql.PRUNE_JOBS, ("jobs", "calls"))


def walk(sweep: Sweep, *, before: datetime, batch: int, dry_run: bool = False) -> Iterator[dict[str, int]]:
    """Delete the rows older than `before`, or only count them, in batches of `batch` rows up to the first younger row.

    Only one batch runs at a time in a database: several prunes take turns. Yields the numbers of each batch: the `rows`
    that were examined, and those deleted, by the names in `sweep.what`.
    """
    after, more = 0, True
    while more:
        given = {"before": before, "after": after, "batch": batch, "delete": not dry_run}
        with transaction.atomic():
            _row("SELECT 1 FROM pg_advisory_xact_lock(732, 0)")  # two prunes at once would double the load
            after, rows, young, *counts = _row(sweep.statement, given)
        yield {"rows": rows} | dict(zip(sweep.what, counts, strict=True))
        more = rows == batch and not young


def cut_off(days: int) -> datetime:
    """Return the time `days` days ago by the clock of the database, which wrote the times compared with it."""
    found: datetime = _row("SELECT statement_timestamp() - %s * interval '1 day'", [days])[0]
    return found


def _row(statement: str, given: Any = None) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
