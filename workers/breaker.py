"""Circuit breaker per lane and kind of job, shared by all workers.

It is per kind because a provider whose creates fail may still answer polls. A closed breaker counts runs and failures,
both weighted by age, and opens when most recent runs failed. While it is open the claim lets one run through every
`PROBE_EVERY` seconds; the first such probe that succeeds closes it. Jobs that wait use up no tries, and no create is
begun whose outcome would stay unknown.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cachetools import TTLCache, cached
from django.db import connection, transaction
from django.db.models import DateTimeField
from django.db.models.expressions import Func
from django.db.models.functions import Now

from workers import sql
from workers.lanes import Lane
from workers.models import Breaker
from workers.outcomes import Call, Claim, Outcome, Wake

log = structlog.get_logger(__name__)

FADE = 10.0
"""Time constant of the weights in seconds: a run's weight falls to 1/e in it."""
MIN_CALLS = 10
"""Minimum of weighted runs for a breaker to open."""
FAILURE_RATIO = 0.5
"""Share of failed runs at which it opens. Well above the 10 % of creates that usually go unanswered."""
PROBE_EVERY = 5.0
"""Seconds between the starts of two probes. Each may use its whole timeout, so a slow recovery is noticed as well."""
LONGEST_ASKED = 60.0
"""Limit in seconds on the delay of a probe by a 429's Retry-After: one call a minute is no burden."""
FRESH = 1.0
"""Seconds for which the open breakers are cached: a process may call a failing provider for that much longer."""


@dataclass(slots=True)
class Count:
    """Number of runs of one lane and kind, by result."""

    runs: int = 0
    failures: int = 0
    probes_passed: int = 0
    probes_failed: int = 0
    probes_idle: int = 0
    """Probes that made no call: they tell nothing, so the next one need not wait."""
    asked_to_wait: float = 0.0
    """The longest Retry-After of their 429s, in seconds."""


class BreakerStatistics:
    """Counts of the runs that ended in this process, until the next `write`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[Lane, str], Count] = defaultdict(Count)

    def note(self, claim: Claim, outcome: object) -> None:
        """Count a run that made calls, in a lane that has a breaker."""
        if not (claim.limit.breaker and isinstance(outcome, Outcome)):
            return
        calls = [call for call in outcome.calls if call.made]
        if not calls:
            if claim.probe and not outcome.calls:
                with self._lock:
                    self._counts[claim.lane, claim.kind].probes_idle += 1
            return
        failed = any(_failed(call) for call in calls)
        with self._lock:
            count = self._counts[claim.lane, claim.kind]
            count.runs += 1
            count.failures += failed
            count.probes_passed += claim.probe and not failed
            count.probes_failed += claim.probe and failed
            count.asked_to_wait = max(count.asked_to_wait, *(min(call.asked_to_wait, LONGEST_ASKED) for call in calls))

    @property
    def pressing(self) -> bool:
        """True if the counts may open or close a breaker: they are to be written at once."""
        with self._lock:
            return any(
                count.probes_passed
                or count.probes_failed
                or count.probes_idle
                or count.failures >= FAILURE_RATIO * max(count.runs, MIN_CALLS)
                for count in self._counts.values()
            )

    def write(self) -> list[Wake]:
        """Add the counts to the breakers; return the lanes to ask again: a breaker has closed, or needs another probe.

        Raises django.db's errors when the database is away. The counts are dropped then: they would be outdated by the
        time it is back.
        """
        with self._lock:
            counts, self._counts = self._counts, defaultdict(Count)
        wakes = [Wake(kind, lane) for (lane, kind), count in counts.items() if _write(lane, kind, count)]
        if counts:
            held_back.cache_clear()
        return wakes


def _failed(call: Call) -> bool:
    """Return whether a call failed: no answer, a 5xx or a 429. A 404 or a refusal is a valid answer.

    This is the definition; `sql.LATEST_CALLS` repeats it in SQL for the dashboard.
    """
    return call.http_status is None or call.http_status >= 500 or call.http_status == 429


def _write(lane: Lane, kind: str, count: Count) -> bool:
    """Add counts to a breaker; return whether its lane is to be asked. One row a transaction, so none deadlocks."""
    now = Func(function="clock_timestamp", output_field=DateTimeField())
    rows = Breaker.objects.select_for_update().filter(lane=lane, kind=kind).annotate(now=now)
    with transaction.atomic(durable=True):
        if (breaker := rows.first()) is None:
            Breaker.objects.bulk_create([Breaker(lane=lane, kind=kind)], ignore_conflicts=True)
            breaker = rows.get()
        was_open = breaker.opened_at is not None
        judge(breaker, count, breaker.now)
        breaker.save(update_fields=["runs", "failures", "counted_at", "opened_at", "probe_at"])
    if was_open != (breaker.opened_at is not None):
        said = "closed: a probe succeeded" if was_open else f"open: {breaker.failures:.0f} of {breaker.runs:.0f} failed"
        log.warning(f"A circuit breaker is {said}", action="breaker_moved", lane=lane, kind=kind)
    return was_open and (breaker.opened_at is None or count.probes_idle > 0)


def judge(breaker: Breaker, count: Count, now: datetime) -> None:
    """Open, close or update the breaker by the counts up to `now` (UTC, the database's clock)."""
    if breaker.opened_at is not None:
        # Only probes count: other runs began before it opened.
        if count.probes_passed:
            breaker.opened_at = breaker.probe_at = None
            breaker.runs = breaker.failures = 0.0
            breaker.counted_at = now
        elif count.probes_failed and breaker.probe_at is not None:
            breaker.probe_at = max(breaker.probe_at, now + timedelta(seconds=count.asked_to_wait))
        elif count.probes_idle:
            breaker.probe_at = now
        return
    faded = math.exp(-max(0.0, (now - breaker.counted_at).total_seconds()) / FADE)
    breaker.runs = breaker.runs * faded + count.runs
    breaker.failures = breaker.failures * faded + count.failures
    breaker.counted_at = now
    if breaker.runs >= MIN_CALLS and breaker.failures >= FAILURE_RATIO * breaker.runs:
        breaker.opened_at = now
        breaker.probe_at = now + timedelta(seconds=max(PROBE_EVERY, count.asked_to_wait))


@cached(TTLCache(1, FRESH), lock=threading.Lock())
def held_back() -> frozenset[tuple[Lane, str]]:
    """Return the lanes and kinds whose breaker is open, at most a second old. Raises django.db's errors."""
    found = Breaker.objects.filter(opened_at__isnull=False).values_list("lane", "kind")
    return frozenset((Lane(lane), kind) for lane, kind in found)


def take_probe(lane: Lane, kind: str) -> bool:
    """Return whether a probe may run now; if so, no worker may run another for `PROBE_EVERY` seconds."""
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_PROBE, {"lane": lane, "kind": kind, "every": PROBE_EVERY})
        return cursor.fetchone() is not None


def is_open(lane: Lane, kind: str) -> bool:
    """Return whether the breaker is open, read from the database."""
    return Breaker.objects.filter(lane=lane, kind=kind, opened_at__isnull=False).exists()


def open_(lane: Lane, kind: str) -> bool:
    """Open the breaker manually; the first probe that succeeds closes it. Return False if it is already open."""
    Breaker.objects.bulk_create([Breaker(lane=lane, kind=kind)], ignore_conflicts=True)
    closed = Breaker.objects.filter(lane=lane, kind=kind, opened_at=None)
    return bool(closed.update(opened_at=Now(), probe_at=Now() + timedelta(seconds=PROBE_EVERY)))


def close(lane: Lane, kind: str) -> bool:
    """Close the breaker manually and reset its counts. Return False if it is not open."""
    is_open = Breaker.objects.filter(lane=lane, kind=kind, opened_at__isnull=False)
    return bool(is_open.update(opened_at=None, probe_at=None, runs=0, failures=0))
