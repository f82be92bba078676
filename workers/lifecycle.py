"""Start and stop of a worker process: engine, dispatcher and periodic tasks run beside Dramatiq."""

from typing import Any

import dramatiq
import structlog
from django.conf import settings
from django.db import connections

from workers import engine, kinds
from workers.announce import announce
from workers.dispatcher import Dispatcher
from workers.periodic import PeriodicTasks

log = structlog.get_logger(__name__)


class EngineLifecycle(dramatiq.Middleware):
    """Dramatiq middleware that runs one engine in a worker process, for the queues it consumes."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None
        self._tasks: PeriodicTasks | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        queues = worker.consumer_whitelist
        mine = [
            kind for kind in kinds.all_kinds() if not queues or kind.actor is None or kind.actor.queue_name in queues
        ]
        connections.close_all()  # none may be shared with the process that forked us
        engine.running = engine.Engine(mine, announce=announce)
        engine.running.start()
        self._dispatcher = Dispatcher(engine.running, queues=[kind.name for kind in mine])
        self._dispatcher.start()
        self._tasks = PeriodicTasks(kinds.job_table().periodic_tasks)
        self._tasks.start()
        log.info("The worker has started", action="worker_up", worker={"kinds": [kind.name for kind in mine]})

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self._tasks is not None:
            self._tasks.stop()
        if self._dispatcher is not None:
            self._dispatcher.stop()
        if engine.running is not None:
            left = engine.running.in_flight
            engine.running.stop(grace=settings.WORKER_GRACE)
            log.info("The worker has stopped", action="worker_down", worker={"in_flight": left})
