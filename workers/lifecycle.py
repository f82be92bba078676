"""Starts the engine and the dispatcher with a Dramatiq worker, and stops them with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dramatiq
import structlog
from django.conf import settings
from django.db import connections

from workers import registry

if TYPE_CHECKING:
    from workers.dispatcher import Dispatcher
    from workers.engine import Engine

log = structlog.get_logger(__name__)

engine: Engine | None = None
"""This process's engine; None outside of a worker."""


class EngineLifecycle(dramatiq.Middleware):
    """Dramatiq middleware: one engine a worker process, for the queues it consumes. A web process never starts one,
    and so never imports it."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Any) -> None:
        from workers.dispatcher import Dispatcher
        from workers.engine import Engine

        global engine
        queues = worker.consumer_whitelist
        kinds = [kind for kind in registry.kinds() if not queues or kind.queue in queues]
        connections.close_all()  # none may be shared with the process that forked us
        engine = Engine(kinds)
        engine.start()
        self._dispatcher = Dispatcher(engine, queues=[kind.queue for kind in kinds])
        self._dispatcher.start()
        log.info("The worker is up", action="worker_up", worker={"kinds": [kind.name for kind in kinds]})

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self._dispatcher is not None:
            self._dispatcher.stop()
        if engine is not None:
            left = engine.in_flight
            engine.stop(grace=settings.WORKER_GRACE)
            log.info("The worker has stopped", action="worker_down", worker={"in_flight": left})
