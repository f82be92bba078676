"""Chores: what worker processes do in the background besides jobs; apps register theirs (`registry.register_chore`).

One thread in each worker process runs them in turn. Each process runs all of them, so a chore sees to it itself that no
two processes do the same step.
"""

import threading
from collections.abc import Mapping

import structlog
from django.db import DatabaseError, InterfaceError, connection

from workers.registry import Chore

log = structlog.get_logger(__name__)

INTERVAL = 1.0
"""Seconds between two rounds when no chore has more to do."""


class Chores:
    def __init__(self, chores: Mapping[str, Chore]) -> None:
        self._chores = chores
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no other step, and wait some seconds for the one under way."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def round(self) -> bool:
        """The next step of each; whether any of them has more to do at once."""
        return any([self._step(name, step) for name, step in self._chores.items() if not self._stopped.is_set()])

    def _step(self, name: str, step: Chore) -> bool:
        try:
            return step()
        except (DatabaseError, InterfaceError) as error:
            log.warning("A chore cannot go on; trying again", action="chore_failed", chore=name, error=str(error))
            connection.close()
        except Exception:
            log.exception("A chore failed; trying again", action="chore_failed", chore=name)
        return False

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self.round():
                self._stopped.wait(INTERVAL)
