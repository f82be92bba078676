"""The database's clock as this process sees it, and its jumps.

All times of jobs are the database's. This module compares them with the machine's own clock, which never jumps
(`elapsed`). After a jump, the times stored before it say nothing about how much time has passed:

- `jumped_at` in `workers_clock` is the time of the last jump, by the clock after it. A create that began before the
  jump counts as begun at it, so its settle window passes in full.
- The leases of running jobs begin anew, so no job is taken from a worker that is alive.
- If the clock went back, the jobs that were scheduled by the clock before it are moved back as far (`move_jobs`).

Every process notes each jump that it notices. Repeated notes of one jump only make the waits longer.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models import DateTimeField, Func

from workers import sql
from workers.foundation.database import rows

log = structlog.get_logger(__name__)

TOLERANCE = 1.0
"""Seconds below which a difference is no jump: NTP slews a clock by much less within `KEEP`."""
KEEP = 60.0
"""Seconds until a comparison begins anew, so that slews do not add up to a jump."""
WARM_UP = 2.5
"""Seconds after a worker's first reading in which it leaves jobs alone that have run before: it does not know a jump
just before its start. Twice the interval in which the other workers compare, so they have noted that jump by then."""
MAX_SKEW = 30.0
"""Difference in seconds between the wall clock of this machine and the database's clock that is reported."""
WARN_EVERY = 600.0
"""Seconds between two warnings about that difference."""
LEASES = ("CREATE_LEASE", "TRACK_LEASE", "NOTIFY_LEASE")
MOVED_AT_ONCE = 5000
"""Limit on the waiting jobs that one statement looks at after the clock went back."""

CLOCK_TIMESTAMP = Func(function="clock_timestamp", output_field=DateTimeField())
"""Expression for the database's time now, also within a transaction."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class ClockJumped(OperationalError):
    """The database's clock jumped while jobs were claimed. Nothing was begun: claim them again."""


def elapsed() -> float:
    """Return the seconds of a clock that never jumps and, unlike `time.monotonic`, runs while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Reading:
    """A time of the database's clock, read between `sent` and `received` (`elapsed`)."""

    at: datetime
    sent: float
    received: float

    def jump_since(self, other: Reading) -> float:
        """Return the least jump in seconds that explains both readings; 0 if it is within TOLERANCE.

        A process that was frozen while it read has a long round trip, which proves no jump.
        """
        moved = (self.at - other.at).total_seconds()
        forward, back = moved - (self.received - other.sent), moved - (self.sent - other.received)
        return forward if forward > TOLERANCE else back if back < -TOLERANCE else 0.0

    def replaces(self, older: Reading) -> bool:
        """Return True if the older reading of the same clock is out of date or less exact."""
        return self.sent - older.sent > KEEP or self.received - self.sent < older.received - older.sent


def read() -> Reading:
    """Read the database's clock. Raises django.db's errors when the database is away."""
    sent = elapsed()
    [(at,)] = rows("SELECT clock_timestamp()")
    return Reading(at, sent, elapsed())


class DatabaseClock:
    """What this process knows of the database's clock. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        self._last: Reading | None = None
        self._first_at = math.inf
        self._warned_at = -math.inf
        self._jump = 0.0
        """Seconds of the jumps that are not noted in the database yet."""
        self._valid_from = -math.inf
        """Readings that were sent earlier may lack `jumped_at`; inf until the last jump is noted."""
        self._back = 0.0
        """Seconds by which waiting jobs must still be moved back."""
        self._moved: int | None = None
        """Number of the last job that was moved back; None: none yet."""

    def observe(self, reading: Reading) -> None:
        """Compare a reading with the last one. A jump is kept until `note_jump`."""
        with self._lock:
            last = self._last
            self._first_at = min(self._first_at, reading.received)
            jump = reading.jump_since(last) if last else 0.0
            if last and jump and reading.received >= last.received:
                self._jump += jump
                self._valid_from = math.inf
                log.warning("The database's clock has jumped", action="clock_jumped", clock={"seconds": round(jump, 3)})
            if last is None or (reading.received >= last.received and (jump or reading.replaces(last))):
                self._last = reading
        self._warn()

    def check(self, reading: Reading, claimed: Iterable[Reading]) -> None:
        """Raise ClockJumped unless all readings show the same clock, whose last jump the database knew by then.

        Notes a new jump. Raises django.db's errors when the database is away.
        """
        self.observe(reading)
        if self.note_jump() or reading.sent < self._valid_from or any(reading.jump_since(one) for one in claimed):
            raise ClockJumped("the database's clock has jumped")

    def note_jump(self) -> bool:
        """Note the jump that `observe` found, if any; return whether there was one.

        If the database is away, its error is raised and the jump is kept.
        """
        if not self._jump:
            return False
        with self._noting:
            with self._lock:
                jump = self._jump
            with connection.cursor() as cursor:
                cursor.execute(sql.NOTE_JUMP, {"lease": max(getattr(settings, name) for name in LEASES)})
            with self._lock:
                self._jump -= jump
                if not self._jump:
                    self._valid_from = elapsed()
                self._back, self._moved = max(0.0, self._back - jump), None
        return True

    def move_jobs(self) -> bool:
        """Move the next waiting jobs back after the clock went back; return True if there are more. A periodic task."""
        with self._lock:
            back, moved = self._back, self._moved
        if not back:
            return False
        [(last,)] = rows(sql.MOVE_JOBS, back=back, before=moved, most=MOVED_AT_ONCE)
        with self._lock:
            if (self._back, self._moved) == (back, moved):
                self._moved = last
                self._back = 0.0 if last is None else back
        return last is not None

    @property
    def is_new(self) -> bool:
        """True until the process has known the clock for WARM_UP seconds."""
        return elapsed() - self._first_at < WARM_UP

    def now(self) -> datetime:
        """Return the database's time in UTC; the machine's own before the first reading."""
        last = self._last
        return last.at + timedelta(seconds=elapsed() - last.received) if last else datetime.now(UTC)

    def latest(self) -> datetime | None:
        """Return the latest time that the database's clock can show if it has not jumped; None if it is unknown."""
        last = self._last
        return last.at + timedelta(seconds=elapsed() - last.sent + TOLERANCE) if last else None

    def skew(self) -> float:
        """Return the seconds by which this machine's wall clock is ahead of the database's."""
        return (datetime.now(UTC) - self.now()).total_seconds()

    def _warn(self) -> None:
        """Warn about the machine's wall clock, at most once in WARN_EVERY seconds."""
        if abs(skew := self.skew()) > MAX_SKEW and elapsed() - self._warned_at > WARN_EVERY:
            self._warned_at = elapsed()
            message = "This machine's clock differs from the database's: synchronise both by NTP"
            log.warning(message, action="clock_skewed", clock={"ahead_seconds": round(skew, 1)})


database = DatabaseClock()
"""The clock of this process's database."""
