"""Telling the workers, through the broker, that lanes have work. Called after the commit; never waits, never fails.

The jobs are in PostgreSQL. When the broker is away nothing is lost: the workers' dispatchers find them in a second.
"""

import math
import threading
import time
from collections.abc import Iterable

import structlog

from workers import actors
from workers.coalesce import Coalescer
from workers.registry import Wake

log = structlog.get_logger(__name__)

PAUSE = 0.02
"""Seconds between two batches: a message costs about 0.5 ms in the worker, so a busy service sends few large ones."""


class Announcer:
    """Collects wakes from all threads of this process and sends one message a kind and batch."""

    def __init__(self) -> None:
        self._coalescer: Coalescer[Wake, None] = Coalescer(self._send, name="announce", most=5000, pause=PAUSE)
        self._promised: dict[tuple[str, str], float] = {}
        self._queued: dict[tuple[str, str], float] = {}

    def announce(self, wakes: Iterable[Wake]) -> None:
        """Queue wakes; one that says what a queued one says already adds nothing, however long the broker is away."""
        for wake in wakes:
            key = (wake.kind, wake.lane)
            if wake.after < self._queued.get(key, math.inf):
                self._queued[key] = wake.after
                self._coalescer.submit(wake)

    def _send(self, wakes: list[Wake]) -> list[None]:
        for wake in wakes:
            self._queued.pop((wake.kind, wake.lane), None)  # first: what comes from here on is sent anew
        now = time.monotonic()
        lanes: dict[str, dict[str, float]] = {}
        for wake in wakes:
            if now < self._promised.get((wake.kind, wake.lane), 0) <= now + wake.after:
                continue  # a worker looks at this lane before then, and sees what is due after that
            known = lanes.setdefault(wake.kind, {})
            known[wake.lane] = min(wake.after, known.get(wake.lane, wake.after))
        for kind, due in lanes.items():
            try:
                actors.BY_KIND[kind].send(due)
            except Exception as error:  # whatever the broker's client raises; the dispatchers find the jobs
                log.warning("The broker cannot be reached", action="announce_failed", error=type(error).__name__)
                break
            self._promised.update({(kind, lane): now + after for lane, after in due.items() if after > 0})
        return [None] * len(wakes)


_announcer: Announcer | None = None
_lock = threading.Lock()


def announce(wakes: Iterable[Wake]) -> None:
    """Tell the workers of these lanes, soon and in the background. Call it after the commit that wrote the jobs."""
    global _announcer
    if _announcer is None:  # made at first use: a thread does not survive the fork of a pre-forking server
        with _lock:
            _announcer = _announcer or Announcer()
    _announcer.announce(wakes)
