"""Start and stop of a worker process: engine, dispatcher and periodic tasks run beside Dramatiq."""

from typing import Any

import dramatiq
import structlog
from django.conf import settings
from django.db import connections

from workers import engine, kinds
from workers.dispatcher import Dispatcher
from workers.foundation import descriptors
from workers.periodic import PeriodicTasks, PeriodicThread

log = structlog.get_logger(__name__)


class EngineLifecycle(dramatiq.Middleware):
    """Dramatiq middleware that runs one engine in a worker process, for the queues it consumes."""

    def __init__(self) -> None:
        self._threads: list[PeriodicThread] = []

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Do each periodic task once; start the engine, then the dispatcher and the periodic tasks."""
        queues = worker.consumer_whitelist
        mine = [one for one in kinds.all_kinds() if not queues or one.actor is None or one.actor.queue_name in queues]
        names = [kind.name for kind in mine]
        connections.close_all()  # none may be shared with the process that forked us
        tasks = PeriodicTasks(kinds.job_table().periodic_tasks)
        tasks.round()  # before the first claim, which must know of a loss of commits
        engine.running = engine.Engine(mine)
        engine.running.start()
        self._threads = [tasks, Dispatcher(engine.running, queues=names)]
        for thread in self._threads:
            thread.start()
        worker = {"kinds": names, "capacity": engine.running.capacity, "open_files": descriptors.raise_limit()}
        log.info("The worker has started", action="worker_up", worker=worker)
        if engine.running.capacity < settings.WORKER_CAPACITY:
            message = "The limit on open files allows less than WORKER_CAPACITY: raise it (ulimit -Hn)"
            log.warning(message, action="capacity_capped", worker=worker)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        """Stop them; the engine last."""
        for thread in self._threads:
            thread.stop()
        if engine.running is not None:
            left = engine.running.in_flight
            engine.running.stop(grace=settings.WORKER_GRACE)
            log.info("The worker has stopped", action="worker_down", worker={"in_flight": left})
