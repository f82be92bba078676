"""Forgetting what is old: walks through a table from its oldest row on, a short transaction at a time.

It may be stopped at any time, and started again: what was deleted stays deleted, and the next walk begins anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import Error, connection

from transactions import sql

_CUT_OFF = "SELECT statement_timestamp() - %s * interval '1 day'"
_TAKE = "SELECT pg_try_advisory_lock(732, 0)"
_RELEASE = "SELECT pg_advisory_unlock(732, 0)"


class Busy(Exception):
    """Another prune of this database is at work: let it finish."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is walked through: the statement that deletes, the one that only counts, and what both count."""

    prune: str
    count: str
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: how many rows were looked at, and of which kind how many went."""

    scanned: int
    gone: dict[str, int]


JOBS = Sweep(sql.PRUNE_JOBS, sql.COUNT_OLD_JOBS, ("jobs", "calls"))


def walk(sweep: Sweep, *, before: datetime, batch: int, dry_run: bool = False) -> Iterator[Step]:
    """Delete what is older than `before`, or only count it, `batch` rows at a time, up to the first younger row."""
    after, more = 0, True
    while more:
        given: dict[str, Any] = {"before": before, "after": after, "batch": batch}
        with connection.cursor() as cursor:
            cursor.execute(sweep.count if dry_run else sweep.prune, given)
            last, scanned, young, *counts = cursor.fetchone()
        yield Step(scanned, dict(zip(sweep.what, counts, strict=True)))
        after, more = last, scanned == batch and not young


def cut_off(days: int) -> datetime:
    """So many days ago, by the database's clock, which wrote the times that are compared with it."""
    with connection.cursor() as cursor:
        cursor.execute(_CUT_OFF, [days])
        found: datetime = cursor.fetchone()[0]
    return found


@contextmanager
def alone() -> Iterator[None]:
    """Hold the place of the one prune of this database. Two would do no harm, but twice the load. Raises Busy."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE)
        if not cursor.fetchone()[0]:
            raise Busy(Busy.__doc__)
    try:
        yield
    finally:
        _leave()


def _leave() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE)
    except Error:  # the connection is lost, and the lock with it
        connection.close()
