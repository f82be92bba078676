"""Periodic threads, and the periodic tasks of worker processes (`JobTable.periodic_tasks`)."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection

from workers.kinds import PeriodicTask

log = structlog.get_logger(__name__)

INTERVAL = 1.0
"""Seconds between two steps of a periodic thread."""


Step = Callable[[], object]
"""One short step. It returns a true value if there is more to do at once."""


def attempt(step: Step, name: str) -> bool:
    """Run a step; return True if there is more to do at once. Log an exception; renew a failed connection."""
    try:
        return bool(step())
    except (DatabaseError, InterfaceError) as error:
        log.warning("A background step failed", action="step_failed", step=name, error=str(error))
        connection.close()
    except Exception:
        log.exception("A background step failed", action="step_failed", step=name)
    return False


class Walk:
    """A walk of a periodic task through a table in short steps, again and again, in this process.

    `read` returns the next rows after a position; the first column of each is its position. A new walk begins at
    `start`, `every` seconds after the begin of the previous one at the earliest.
    """

    def __init__(self, read: Callable[[Any], Sequence[tuple[Any, ...]]], start: Any, *, every: float) -> None:
        self._read, self._start, self._every = read, start, every
        self._position, self._next_at = start, 0.0

    def step(self) -> Sequence[tuple[Any, ...]]:
        """Return the next rows; none at the end of the walk, and between two walks."""
        now = time.monotonic()
        if self._position == self._start:
            if now < self._next_at:
                return ()
            self._next_at = now + self._every
        found = self._read(self._position)
        self._position = found[-1][0] if found else self._start
        return found


class PeriodicThread:
    """A thread that runs `step` every `every` seconds, or at once while there is more to do.

    With `last`, it runs the step once more when it is stopped.
    """

    def __init__(self, name: str, step: Step, *, every: float = INTERVAL, last: bool = False) -> None:
        self._step = step
        self._every = every
        self._last = last
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no other step; wait at most five seconds for the current one."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not attempt(self._step, self._thread.name):
                self._stopped.wait(self._every)
        if self._last:
            attempt(self._step, self._thread.name)


class PeriodicTasks(PeriodicThread):
    """A thread that runs a worker process's periodic tasks in turn.

    Every process runs all of them, so each task itself ensures that no two processes do the same step.
    """

    def __init__(self, tasks: Mapping[str, PeriodicTask]) -> None:
        super().__init__("periodic tasks", self.round)
        self._tasks = tasks

    def round(self) -> bool:
        """Run the next step of each task; return whether any of them has more to do at once."""
        return any([attempt(step, name) for name, step in self._tasks.items() if not self._stopped.is_set()])
