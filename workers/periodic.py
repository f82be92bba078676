"""Periodic threads, and the periodic tasks of worker processes (`JobTable.periodic_tasks`)."""

import threading
from collections.abc import Callable, Mapping

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


class PeriodicThread:
    """A thread that runs `step` every `INTERVAL` seconds, or at once while there is more to do."""

    def __init__(self, name: str, step: Step) -> None:
        self._step = step
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
                self._stopped.wait(INTERVAL)


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
