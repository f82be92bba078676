"""The dispatcher: finds due jobs that no message announced, and recovers jobs of lost workers.

One thread in each worker process. Once a second it wakes its engine for lanes with due jobs (lost messages, delays that
have ended, a broker that is down), recovers expired leases and updates the process's row. Its cost depends on the
number of lanes with waiting jobs, not on the number of jobs.
"""

import os
import signal
import socket
import uuid

import structlog
from django.conf import settings
from django.db import connection

from workers import jobs, sql
from workers.engine import Engine
from workers.models import WorkerProcess
from workers.periodic import INTERVAL, PeriodicThread, attempt

log = structlog.get_logger(__name__)

STUCK = 30
"""Number of ticks in a row without an answer from the event loop after which the process kills itself. Its jobs come
back when their leases end; otherwise the process would look alive, and go on claiming jobs that it never runs."""


class Dispatcher(PeriodicThread):
    def __init__(self, engine: Engine, *, queues: list[str]) -> None:
        super().__init__("dispatcher", self.tick)
        self._engine = engine
        self._id = uuid.uuid4()
        self._about: dict[str, str | int] = {
            "id": str(self._id),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": settings.VERSION,
            "queues": ",".join(sorted(queues)),
        }

    def tick(self) -> None:
        """Do everything once. Raises django.db's errors when the database is away."""
        if (silent := self._engine.unanswered()) > STUCK:
            log.critical("The event loop is stuck; killing this process", action="worker_stuck", ticks=silent)
            os.kill(os.getpid(), signal.SIGKILL)
        with connection.cursor() as cursor:
            cursor.execute(sql.BEAT, self._about | {"in_flight": self._engine.in_flight})
        for lane in jobs.recover():
            self._engine.wake(lane)
        for lane, due_in in jobs.due_lanes(ahead=INTERVAL):  # one due before the next tick gets a timer: no delay
            self._engine.wake(lane, due_in)
        self._engine.wake_all(self._engine.tally.write())  # last: its failure delays nothing else

    def _run(self) -> None:
        super()._run()
        attempt(self._sign_off, "sign off")

    def _sign_off(self) -> None:
        """Delete the row of this process, so that it is not reported as silent. Otherwise the row stays for an hour."""
        WorkerProcess.objects.filter(pk=self._id).delete()
