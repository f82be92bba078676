"""Wake-up messages to the workers for lanes with due jobs. Sent after the commit, in the background.

The jobs are in PostgreSQL, so a lost message only delays them: the workers' dispatchers find them within a second.
"""

import math
import time
from collections.abc import Iterable
from functools import cache

import structlog

from workers import kinds
from workers.coalesce import Coalescer
from workers.outcomes import Wake

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 5.0
"""Most seconds without a message after a failed one. The pause doubles from a quarter of a second on, so that a broker
that is away costs few connections and log lines; meanwhile the dispatchers find the jobs."""
PAUSE = 0.02
"""Minimum of seconds between two batches. A message costs a worker about 0.5 ms: few large ones are cheaper."""


class Announcer:
    """Collects wakes from all threads of this process; sends one message per kind and batch."""

    def __init__(self) -> None:
        self._coalescer: Coalescer[Wake] = Coalescer(self._send, name="announce", most=5000, pause=PAUSE)
        self._promised: dict[tuple[str, str], float] = {}
        self._queued: dict[tuple[str, str], float] = {}
        self._failures = 0
        self._paused_until = -math.inf

    def announce(self, wakes: Iterable[Wake]) -> None:
        """Queue wakes, except those that a queued one covers: the queue stays bounded while the broker is away."""
        for wake in wakes:
            key = (wake.kind, wake.lane)
            if wake.after < self._queued.get(key, math.inf):
                self._queued[key] = wake.after
                self._coalescer.submit(wake)

    def _send(self, wakes: list[Wake]) -> None:
        for wake in wakes:
            self._queued.pop((wake.kind, wake.lane), None)  # first: wakes that arrive from now on are sent again
        now = time.monotonic()
        if now < self._paused_until:
            return
        lanes: dict[str, dict[str, float]] = {}
        for wake in wakes:
            if now < self._promised.get((wake.kind, wake.lane), 0) <= now + wake.after:
                continue  # an earlier wake makes a worker look at this lane before then
            known = lanes.setdefault(wake.kind, {})
            known[wake.lane] = min(wake.after, known.get(wake.lane, wake.after))
        for kind, due in lanes.items():
            if (actor := kinds.kind_of(kind).actor) is None:
                continue  # every worker finds these jobs by itself
            try:
                actor.send(due)
            except Exception as error:  # any error of the broker's client; the dispatchers find the jobs
                text = f"{type(error).__name__}: {error}"
                log.warning("The broker takes no messages", action="announce_failed", error=text)
                self._failures += 1
                self._paused_until = time.monotonic() + min(0.125 * 2 ** min(self._failures, 10), LONGEST_PAUSE)
                break
            self._failures = 0
            self._promised.update({(kind, lane): now + after for lane, after in due.items() if after > 0})


@cache
def _announcer() -> Announcer:
    """Return this process's announcer. It is made at first use, because a thread does not survive a fork."""
    return Announcer()


def announce(wakes: Iterable[Wake]) -> None:
    """Send wakes to the workers, soon and in the background. Call it after the commit that wrote the jobs."""
    _announcer().announce(wakes)
