"""The circuit breaker: what fails most of the time is left alone, but for a probe now and then.

One for each lane and kind of job, for all workers: a provider whose creates fail may well answer polls. Closed, it
counts runs and failures, which fade; it opens when most have failed lately. Open, the claim lets one run through every
`PROBE_EVERY` seconds, and the first of these that succeeds closes it. What waits loses nothing but time: no job's
tries are used up against a provider that answers nobody, and creates that would end unknown are not begun.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import DateTimeField
from django.db.models.expressions import Func
from django.db.models.functions import Now

from workers import sql
from workers.models import Breaker
from workers.registry import Call, Claim, Lane, Outcome, Wake

log = structlog.get_logger(__name__)

FADE = 10.0
"""Seconds in which a run's weight falls to 1/e: about as long as the breaker remembers."""
ENOUGH = 10
"""Runs, so weighed, below which it judges nothing."""
SHARE = 0.5
"""It opens when this share of them has failed. Well above the 10 % of creates that are known to go unanswered."""
PROBE_EVERY = 5.0
"""Seconds between two probes; each may take its whole time-out, so what hangs is found to be back all the same."""
LONGEST_ASKED = 60.0
"""Seconds that a probe is put off at the most, whatever a 429 asks for: its one call a minute is no burden."""
FRESH = 1.0
"""Seconds after which it is read again what is open: so much longer may a process call what another found to fail."""


@dataclass(slots=True)
class Count:
    """What runs of one lane and kind came to."""

    runs: int = 0
    failures: int = 0
    probes_passed: int = 0
    probes_failed: int = 0
    probes_idle: int = 0
    """Had nothing to call for: they tell nothing, and the next one need not wait."""
    asked_to_wait: float = 0.0
    """Seconds, the longest that a 429 of these asked for."""


class Tally:
    """Counts what ends in this process, and writes it down once a second, or as soon as it may decide something."""

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
        """Whether what was counted may open or close a breaker."""
        with self._lock:
            return any(
                count.probes_passed
                or count.probes_failed
                or count.probes_idle
                or count.failures >= SHARE * max(count.runs, ENOUGH)
                for count in self._counts.values()
            )

    def write(self) -> list[Wake]:
        """Write down what was counted; returns the lanes to ask again: a breaker has closed, or wants another probe.

        Raises django.db's errors when the database is away: what was counted is forgotten then, being old when it is
        back.
        """
        with self._lock:
            counts, self._counts = self._counts, defaultdict(Count)
        wakes = [Wake(kind, lane) for (lane, kind), count in counts.items() if _write(lane, kind, count)]
        if counts:
            held_back.forget()
        return wakes


def _failed(call: Call) -> bool:
    """No answer, or one that says that nobody is served now. A 404 or a refusal is an answer like any other."""
    return call.http_status is None or call.http_status >= 500 or call.http_status == 429


def _write(lane: Lane, kind: str, count: Count) -> bool:
    """Add a count to its breaker's; whether the lane is to be asked. One row a transaction: no two ever deadlock."""
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
    """Move the breaker on by what was counted until `now` (UTC, the database's)."""
    if breaker.opened_at is not None:
        # Only probes tell: what began before it opened says nothing new.
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
    if breaker.runs >= ENOUGH and breaker.failures >= SHARE * breaker.runs:
        breaker.opened_at = now
        breaker.probe_at = now + timedelta(seconds=max(PROBE_EVERY, count.asked_to_wait))


class _HeldBack:
    """What open breakers hold back, read anew every second: a claim must not cost a query more."""

    def __init__(self) -> None:
        self._read_at = -math.inf
        self._known: frozenset[tuple[Lane, str]] = frozenset()

    def __call__(self) -> frozenset[tuple[Lane, str]]:
        if time.monotonic() - self._read_at > FRESH:
            found = Breaker.objects.filter(opened_at__isnull=False).values_list("lane", "kind")
            self._known, self._read_at = frozenset(found), time.monotonic()
        return self._known

    def forget(self) -> None:
        self._read_at = -math.inf


held_back = _HeldBack()
"""`held_back()`: the lanes and kinds whose breaker is open, as of a second ago. Raises django.db's errors."""


def take_probe(lane: Lane, kind: str) -> bool:
    """Whether one run may go through now; for the next `PROBE_EVERY` seconds no other may, in any worker."""
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_PROBE, {"lane": lane, "kind": kind, "every": PROBE_EVERY})
        return cursor.fetchone() is not None


def is_open(lane: Lane, kind: str) -> bool:
    return Breaker.objects.filter(lane=lane, kind=kind, opened_at__isnull=False).exists()


def open_(lane: Lane, kind: str) -> bool:
    """Open it by hand, as if most had failed: the first probe that succeeds closes it. False when it is open."""
    Breaker.objects.bulk_create([Breaker(lane=lane, kind=kind)], ignore_conflicts=True)
    closed = Breaker.objects.filter(lane=lane, kind=kind, opened_at=None)
    return bool(closed.update(opened_at=Now(), probe_at=Now() + timedelta(seconds=PROBE_EVERY)))


def close(lane: Lane, kind: str) -> bool:
    """Close it, and forget what was counted: an operator knows better. False when it is not open."""
    is_open = Breaker.objects.filter(lane=lane, kind=kind, opened_at__isnull=False)
    return bool(is_open.update(opened_at=None, probe_at=None, runs=0, failures=0))
