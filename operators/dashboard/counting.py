"""Counts of status changes per minute: a periodic task of the workers, for the dashboard.

Counting all transactions takes seconds, and an index for it would slow down every accept. Event ids ascend with time,
so the events of some minutes are a range of ids, which a binary search by the primary key finds. Each run counts the
whole minutes since the last run and replaces the counts of the minutes just before them: counts are absolute, so a
repeated run changes nothing. Existing events are counted from the first one on, a batch per run.

A count is exact if every event is committed within `LATE` of its time. `statement_timeout` (30 s) and
`idle_in_transaction_session_timeout` (5 s) bound that for transactions of one statement. An event that is committed
later than `LATE` after its minute is missing from the counts until the table is emptied.
"""

from bisect import bisect_left
from datetime import datetime, timedelta

from django.db import connection, transaction

from operators.models import MinuteCount
from transactions import sql
from transactions.models import Event

MINUTE = timedelta(minutes=1)
LATE = timedelta(minutes=1)
"""Upper bound on the time from an event to its commit."""
BATCH = 50_000
"""Events that a run counts at most, apart from the minutes that it counts again; at least one minute is counted."""
KEEP = timedelta(days=2)
"""Age at which minutes are added to the totals and deleted; the dashboard shows the last 24 hours."""
SHORTEST = 0.01
"""Upper bound of bucket 0, in seconds from acceptance to the first final status."""
STEPS = 4
"""Buckets per doubling of the time. The middle of a bucket is at most 9 % off."""


def count_events() -> bool:
    """Count the whole minutes that have ended since the last run. True if more of them are left. A periodic task."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(sql.COUNTED)
        alone, now, until = cursor.fetchone()
        return alone and (until is None or until < now) and count_until(now, until)


def count_until(end: datetime, until: datetime | None = None) -> bool:
    """Count a batch of the minutes between `until` (None: the first event) and `end`. True if some of them are left."""
    until = until or _minute(_time_of(0) or end - MINUTE)
    start = until - LATE
    low = _first_since(start - LATE)
    upto = min(end, max(until + MINUTE, _minute(_time_of(low + BATCH) or end)))
    MinuteCount.objects.filter(minute__gte=start).delete()
    ids = {"low": low, "high": _first_since(upto + LATE)}
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_EVENTS, {**ids, "start": start, "end": upto, "shortest": SHORTEST, "steps": STEPS})
        cursor.execute(sql.FOLD_MINUTES, {"before": upto - KEEP})
    return upto < end


def seconds(bucket: int) -> float:
    """Return the geometric middle of a bucket, in seconds; of bucket 0 its upper bound."""
    return SHORTEST * 2 ** ((bucket - 0.5) / STEPS) if bucket else SHORTEST


def _first_since(time: datetime) -> int:
    """Return the least event id whose time is `time` or later, up to the disorder that late commits cause."""
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return bisect_left(range(newest + 1), time, key=lambda number: _time_of(number) or time)


def _time_of(number: int) -> datetime | None:
    """Return the time of the first event with this id or a greater one."""
    return Event.objects.filter(pk__gte=number).order_by("pk").values_list("at", flat=True).first()


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
