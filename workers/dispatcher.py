"""Dispatcher: finds due jobs that no message announced, and recovers jobs of lost workers.

One thread in each worker process. Once a second it wakes its engine for lanes with due jobs (after a lost message or a
delay, or while the broker is away), recovers expired leases and updates the process's row. Its cost depends on the
number of lanes with waiting jobs, not on the number of jobs.
"""

import math
import os
import signal
import socket
import time
import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models.functions import Now

from workers import clock, jobs
from workers.engine import LONGEST_SETTLE_PAUSE, Engine
from workers.foundation.session_settings import MissingSettings, check_session
from workers.models import WorkerProcess
from workers.periodic import INTERVAL, PeriodicThread, attempt

log = structlog.get_logger(__name__)

STUCK = 30
"""Limit on consecutive ticks without an answer from the event loop; then the process kills itself. Its jobs come back
when their leases end; otherwise the process would look alive and claim more jobs that it never runs."""

SETTLE_FIRST = 2 * LONGEST_SETTLE_PAUSE
"""Seconds after an outage of the database in which no lease is recovered. Leases that ended meanwhile do not mean lost
workers: these have kept their results, and settle them within this time."""

SESSION_CHECK_EVERY = 30.0
"""Seconds between two checks of the session's settings."""


class Dispatcher(PeriodicThread):
    """The dispatcher's thread."""

    def __init__(self, engine: Engine, *, queues: list[str]) -> None:
        super().__init__("dispatcher", self.tick)
        self._engine = engine
        self._session_checked = time.monotonic()  # each new connection is checked as well
        self._beats_since = -math.inf
        """Time (monotonic) of the first heartbeat after the last one that failed."""
        self._about: dict[str, Any] = {
            "id": uuid.uuid4(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": settings.VERSION,
            "queues": ",".join(sorted(queues)),
        }

    def tick(self) -> None:
        """Do each check once. Raises django.db's errors when the database is away."""
        if (unanswered := self._engine.unanswered()) > STUCK:
            log.critical("The event loop is stuck; killing this process", action="worker_stuck", ticks=unanswered)
            os.kill(os.getpid(), signal.SIGKILL)
        self._check_session()
        self._beat()
        clock.database.observe(clock.read())
        clock.database.note_jump()
        if time.monotonic() >= self._beats_since + SETTLE_FIRST:
            for lane in jobs.recover():
                self._engine.wake(lane)
        for lane, due_in in jobs.due_lanes(ahead=INTERVAL):  # a job due before the next tick gets a timer: no delay
            self._engine.wake(lane, due_in)
        self._engine.wake_all(self._engine.statistics.write())  # last: its failure delays nothing else

    def _check_session(self) -> None:
        """Stop this process if its sessions lack settings: behind a pooler they may change while it runs."""
        if (now := time.monotonic()) < self._session_checked + SESSION_CHECK_EVERY:
            return
        try:
            check_session()
        except MissingSettings as error:
            log.critical("Sessions lack settings; stopping this worker", action="session_unsafe", error=str(error))
            os.kill(os.getpid(), signal.SIGTERM)
            raise
        self._session_checked = now

    def _beat(self) -> None:
        """Update the process's row; note when that began to work."""
        now, since = time.monotonic(), self._beats_since
        self._beats_since = math.inf
        WorkerProcess.objects.filter(beat_at__lt=Now() - timedelta(hours=1)).delete()
        process = WorkerProcess(**self._about, in_flight=self._engine.in_flight, clock_skew=clock.database.skew())
        renewed = ["beat_at", "in_flight", "clock_skew"]
        WorkerProcess.objects.bulk_create([process], update_conflicts=True, unique_fields=["id"], update_fields=renewed)
        self._beats_since = min(since, now)

    def _run(self) -> None:
        super()._run()
        # Without its row, the process is not reported as silent. If this fails, the row stays for an hour.
        attempt(WorkerProcess.objects.filter(pk=self._about["id"]).delete, "sign off")
