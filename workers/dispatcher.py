"""The dispatcher: looks every second for what nobody was told of, and for what died.

One thread in each worker process. It wakes its own engine for lanes with due jobs (lost messages, delays over,
a broker that is down), returns expired leases, and says that the process lives. What it costs depends on the number
of lanes with waiting jobs, not on the number of jobs.
"""

import os
import signal
import socket
import threading
import uuid

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from workers import jobs, sql
from workers.engine import Engine
from workers.models import WorkerProcess

log = structlog.get_logger(__name__)

INTERVAL = 1.0
"""Seconds between two looks. A job due before the next one gets a timer, so its delay is exact all the same."""


STUCK = 30
"""Looks in a row without an answer from the engine's event loop after which the process ends itself. What it had under
way comes back with its leases; a process that claims jobs and runs none would go on losing them, and look alive."""


class Dispatcher:
    def __init__(self, engine: Engine, *, queues: list[str]) -> None:
        self._engine = engine
        self._id = uuid.uuid4()
        self._about: dict[str, str | int] = {
            "id": str(self._id),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": settings.VERSION,
            "queues": ",".join(sorted(queues)),
        }
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def tick(self) -> None:
        """One look. Raises django.db's errors when the database is away."""
        if (silent := self._engine.unanswered()) > STUCK:
            log.critical("The event loop is stuck: this process ends", action="worker_stuck", looks=silent)
            os.kill(os.getpid(), signal.SIGKILL)
        with connection.cursor() as cursor:
            cursor.execute(sql.BEAT, self._about | {"in_flight": self._engine.in_flight})
        for lane in jobs.recover():
            self._engine.wake(lane)
        for lane, due_in in jobs.due_lanes(ahead=INTERVAL):
            self._engine.wake(lane, due_in)
        self._engine.wake_all(self._engine.tally.write())  # last: failing, it holds up nothing

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.tick()
            except (DatabaseError, InterfaceError) as error:
                log.warning("The dispatcher cannot look; trying again", action="tick_failed", error=str(error))
                connection.close()
            except Exception:
                log.exception("The dispatcher's look failed; trying again", action="tick_failed")
            self._stopped.wait(INTERVAL)
        try:
            WorkerProcess.objects.filter(pk=self._id).delete()  # it was told to stop: nobody need look for it
        except (DatabaseError, InterfaceError) as error:
            log.warning("The worker's row stays for an hour", action="leave_failed", error=str(error))
