"""Circuit breaker per lane and kind of job, shared by all workers.

It is per kind because a provider whose creates fail may still answer polls. A closed breaker counts runs and failures,
both weighted by age, and opens when half of the recent runs failed. A job that fails repeatedly counts once, unless no
run succeeds at all (`ALL_FAIL_FOR`). While it is open, the claim takes one run, a probe, every `PROBE_EVERY` seconds;
the shares of the lane take turns (`sql.TAKE_PROBE`), and the first probe that succeeds closes it. Jobs that wait use up
no tries, and no create begins whose outcome would stay unknown.

The same row records since when all runs of a provider fail (`FAILING`): a provider that is called once a minute never
reaches the number of runs that opens a breaker.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cachetools import TTLCache, cached
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from workers import sql
from workers.clock import CLOCK_TIMESTAMP
from workers.foundation.database import rows
from workers.lanes import Lane
from workers.models import Breaker
from workers.outcomes import Call, Claim, Outcome, Wake

log = structlog.get_logger(__name__)

HALF_LIFE = 7.0
"""Seconds in which the weight of a run halves."""
MIN_CALLS = 10
"""Minimum of weighted runs for a breaker to open."""
ALL_FAIL_FOR = 10.0
"""Seconds without a successful run after which failed retries count, too. A transaction that fails repeatedly while
others succeed backs off by itself, and must not hold up the others."""
FAILURE_RATIO = 0.5
"""Share of failed runs at which it opens. Well above the 10 % of creates that usually go unanswered."""
PROBE_EVERY = 5.0
"""Seconds between the starts of two probes. Each may use its whole timeout, so a slow recovery is noticed as well."""
AMONG = 25
"""Number of a share's oldest due jobs, and of its newest ones, among which a probe is chosen."""
MAX_DELAY = 60.0
"""Limit in seconds on the delay of a probe by a 429's Retry-After: one call a minute is no burden."""
FRESH = 1.0
"""Seconds for which the open breakers are cached: a process may call a failing provider for that much longer."""
FAILING_RUNS, FAILING_AFTER = 3, 60.0
"""A provider is failing after this many failed runs in a row, the first of them at least this many seconds ago. Three
in a row are rare if a provider fails one call in ten, and a busy one then has a success within the minute."""
FAILING_FOR = 7200.0
"""Seconds after the last failed run until a provider is no longer failing: it may not be called any more. Longer than
the default of the longest delay between polls."""
FAILING = ExpressionWrapper(
    Q(
        failed_runs__gte=FAILING_RUNS,
        failing_since__lte=Now() - timedelta(seconds=FAILING_AFTER),
        failed_at__gte=Now() - timedelta(seconds=FAILING_FOR),
    ),
    BooleanField(),
)
"""Expression over `Breaker`: true if the lane's runs of this kind are failing; null if none of them has failed."""


@dataclass(slots=True)
class RunCounts:
    """Numbers of runs of one lane and kind, by result."""

    runs: int = 0
    failures: int = 0
    retries_failed: int = 0
    """Failed runs of jobs whose last run failed as well; they are not in `runs` and `failures`."""
    probes_passed: int = 0
    probes_failed: int = 0
    probes_idle: int = 0
    """Probes that made no call: they prove nothing, so the next one need not wait."""
    retry_after: float = 0.0
    """The longest Retry-After of their 429s, in seconds."""
    succeeded: bool = False
    """At least one run succeeded, in a lane with or without a breaker."""
    failed_in_a_row: int = 0
    """Runs that failed since the last one that succeeded."""

    def add_result(self, failed: bool) -> None:
        """Add the result of the latest run to the row of failed ones."""
        self.succeeded |= not failed
        self.failed_in_a_row = self.failed_in_a_row + 1 if failed else 0


class BreakerStatistics:
    """Counts of the runs that ended in this process, until the next `write`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[Lane, str], RunCounts] = defaultdict(RunCounts)

    def note(self, claim: Claim, outcome: object) -> None:
        """Count a run that made calls, in a lane that is counted or has a breaker."""
        limit = claim.limit
        if not ((limit.counted or limit.breaker) and isinstance(outcome, Outcome)):
            return
        calls = [call for call in outcome.calls if call.made]
        failed = any(_failed(call) for call in calls)
        with self._lock:
            if not calls:
                if claim.probe and not outcome.calls:
                    self._counts[claim.lane, claim.kind].probes_idle += 1
                return
            counts = self._counts[claim.lane, claim.kind]
            counts.add_result(failed or any(_unusable(call) for call in calls))
            if limit.breaker:
                again = failed and claim.retry
                counts.retries_failed += again
                counts.runs += not again
                counts.failures += failed and not again
                counts.probes_passed += claim.probe and not failed
                counts.probes_failed += claim.probe and failed
                counts.retry_after = max(counts.retry_after, *(min(call.retry_after, MAX_DELAY) for call in calls))

    @property
    def is_due(self) -> bool:
        """True if the counts may open or close a breaker: write them at once."""
        with self._lock:
            return any(
                counts.probes_passed + counts.probes_failed + counts.probes_idle > 0
                or counts.failures >= FAILURE_RATIO * max(counts.runs, MIN_CALLS)
                for counts in self._counts.values()
            )

    def write(self) -> list[Wake]:
        """Add the counts to the breakers; return the lanes to claim from: a breaker has closed or needs another probe.

        Raises django.db's errors when the database is away. The counts are dropped then: they would be outdated by the
        time it is back.
        """
        with self._lock:
            written, self._counts = self._counts, defaultdict(RunCounts)
        wakes = [Wake(kind, lane) for (lane, kind), counts in written.items() if _write(lane, kind, counts)]
        if written:
            held_back.cache_clear()
        return wakes


def _failed(call: Call) -> bool:
    """Return whether a call failed: no answer, a 5xx or a 429. A 404 or a refusal is a valid answer.

    This is the definition; `statistics_sql.LATEST_CALLS` repeats it in SQL for the dashboard.
    """
    return call.http_status is None or call.http_status >= 500 or call.http_status == 429


def _unusable(call: Call) -> bool:
    """Return whether an answer brings no progress: a redirect, 401, 403, 407 or 408.

    Such answers open no breaker: a person must fix most of their causes.
    """
    status = call.http_status or 0
    return 300 <= status < 400 or status in (401, 403, 407, 408)


_WRITTEN = (
    "runs", "failures", "counted_at", "opened_at", "probe_at", "failing_since", "failed_runs", "failed_at",
)  # fmt: skip


def _write(lane: Lane, kind: str, counts: RunCounts) -> bool:
    """Add counts to a breaker; return True if its lane has work now. One row a transaction, so none deadlocks."""
    with transaction.atomic(durable=True):
        Breaker.objects.bulk_create([Breaker(lane=lane, kind=kind)], ignore_conflicts=True)
        breaker = Breaker.objects.select_for_update().annotate(now=CLOCK_TIMESTAMP).get(lane=lane, kind=kind)
        was_open = breaker.opened_at is not None
        judge(breaker, counts, breaker.now)
        follow(breaker, counts, breaker.now)
        breaker.save(update_fields=_WRITTEN)
    if was_open != (breaker.opened_at is not None):
        state = (
            "closed: a probe succeeded" if was_open else f"open: {breaker.failures:.0f} of {breaker.runs:.0f} failed"
        )
        log.warning(f"A circuit breaker is {state}", action="breaker_moved", lane=lane, kind=kind)
    return was_open and (breaker.opened_at is None or counts.probes_idle > 0)


def judge(breaker: Breaker, counts: RunCounts, now: datetime) -> None:
    """Open, close or update the breaker by the counts up to `now` (UTC, the database's clock)."""
    if breaker.opened_at is not None:
        # Only probes count: other runs began before it opened.
        if counts.probes_passed:
            breaker.opened_at = breaker.probe_at = None
            breaker.runs = breaker.failures = 0.0
            breaker.counted_at = now
        elif counts.probes_failed and breaker.probe_at is not None:
            breaker.probe_at = max(breaker.probe_at, now + timedelta(seconds=counts.retry_after))
        elif counts.probes_idle:
            breaker.probe_at = now
        return
    age = max(0.0, (now - breaker.counted_at).total_seconds())
    weight = 0.5 ** (age / HALF_LIFE)
    since = None if counts.succeeded else breaker.failing_since
    retries = counts.retries_failed if since and now - since >= timedelta(seconds=ALL_FAIL_FOR) else 0
    breaker.runs = breaker.runs * weight + counts.runs + retries
    breaker.failures = breaker.failures * weight + counts.failures + retries
    breaker.counted_at = now
    if breaker.runs >= MIN_CALLS and breaker.failures >= FAILURE_RATIO * breaker.runs:
        breaker.opened_at = now
        breaker.probe_at = now + timedelta(seconds=max(PROBE_EVERY, counts.retry_after))


def follow(breaker: Breaker, counts: RunCounts, now: datetime) -> None:
    """Update since when all runs fail, by the counts up to `now` (UTC, the database's clock)."""
    if counts.succeeded:
        breaker.failing_since, breaker.failed_runs, breaker.failed_at = None, 0, None
    if counts.failed_in_a_row:
        breaker.failing_since = breaker.failing_since or now
        breaker.failed_runs += counts.failed_in_a_row
        breaker.failed_at = now


@cached(TTLCache(1, FRESH), lock=threading.Lock())
def held_back() -> frozenset[tuple[Lane, str]]:
    """Return the lanes and kinds whose breaker is open, read within the last second. Raises django.db's errors."""
    open_ones = Breaker.objects.filter(opened_at__isnull=False).values_list("lane", "kind")
    return frozenset((Lane(lane), kind) for lane, kind in open_ones)


def take_probe(lane: Lane, kind: str) -> int | None:
    """Return the job to run as a probe now; no worker may run another for `PROBE_EVERY` seconds. None: not yet."""
    found = rows(sql.TAKE_PROBE, lane=lane, kind=kind, every=PROBE_EVERY, among=AMONG)
    return found[0][0] if found else None


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
