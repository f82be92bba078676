"""Counting for operators: how many transactions stand at each status, and what each minute brought.

A full count of a hot table takes seconds, and an index for it would slow every accept. So a chore of the workers walks
the timelines, which only grow, by their numbers, and adds up what it meets. What it has added and how far it came are
committed together, by one process at a time: no entry is left out or counted twice. It starts at the first one, so an
existing database is counted, too, and says how far that is.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from transactions import sql
from transactions.models import Duration, Minute, Totals
from transactions.status import Status

MOST = 10_000
"""Numbers of entries that one step looks at."""
KEEP = timedelta(days=2)
"""For so long minutes are kept; the pages show the last day."""
SHORTEST = 0.01
"""Seconds from acceptance to a final status, in bucket 0: so many at the most."""
STEPS = 4
"""Buckets in which the time doubles. So a time that is told as the middle of its bucket is wrong by 9 % at the most."""


def count_events() -> bool:
    """Count the next entries, and see which are the newest; whether there are more to count at once. A chore."""
    Totals.objects.get_or_create(pk=1)
    with transaction.atomic(durable=True):
        totals = Totals.objects.select_for_update(skip_locked=True).first()
        if totals is None:  # another process is counting
            return False
        newest, now, writers = _newest()
        if totals.counted < totals.newest and not set(totals.writers) & set(writers):
            totals.writers = []
            _count(totals)
        if totals.counted == totals.newest:
            totals.as_of = totals.looked_at
            totals.newest, totals.looked_at, totals.writers = newest, now, writers
        totals.save()
    return totals.counted < totals.newest and not totals.writers


def _newest() -> tuple[int, datetime, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.NEWEST)
        newest, now, writers = cursor.fetchone()
    return newest, now, writers


def _count(totals: Totals) -> None:
    upto = min(totals.counted + MOST, totals.newest)
    bounds = {"after": totals.counted, "upto": upto, "keep": KEEP.total_seconds()}
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_EVENTS, bounds | {"first": SHORTEST, "steps": STEPS})
        changes = cursor.fetchone()
    for status, change in zip(Status, changes, strict=True):
        setattr(totals, status, getattr(totals, status) + change)
    totals.counted = upto
    for kept in (Minute, Duration):
        kept.objects.filter(minute__lt=Now() - KEEP).delete()


def seconds(bucket: int) -> float:
    """The middle of a bucket, by proportion; of bucket 0 its end."""
    return SHORTEST * 2 ** ((bucket - 0.5) / STEPS) if bucket else SHORTEST
