"""All kinds of faults, with their start and their end. The main thread runs them, as it starts all processes."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import redis
import requests

from devstack.postgres import PostgreSQL
from devstack.processes import Child
from devstack.serve import GRACE
from devstack.stack import Stack
from devstack.stores import Stores
from devstack.valkey import Valkey
from tests.chaos import losses, messages, webhooks
from tests.chaos.schedule import Slot, Span
from tests.clock_shim import JUMP

HEAVY, LIGHT = 10.0, 5.0
"""Seconds of quiet after a fault: the limit for a recovery, and less for faults without any effect on throughput."""
OUTAGE = 5.0
"""Seconds that an outage of a provider or a client's endpoint lasts."""
FROZEN = 25.0
"""Seconds that a worker is frozen; longer than any lease of the stack."""
HOUR = 3600.0
HELD = 8.0
"""Seconds for which no create is sent after a loss of commits: the settle window of the stack and `NOTICED_WITHIN`."""
FEW_FILES = 16
"""Limit on open files that is less than a worker has open."""
RESTART = 1.0
"""Seconds until a killed process is restarted."""


@dataclass
class Scene:
    """Stack and stores that the faults act on, and their records for the verify pass."""

    stack: Stack
    stores: Stores
    down: set[str] = field(default_factory=set)
    """Names of the processes that a fault has stopped."""
    kills: list[float] = field(default_factory=list)
    """Times (Unix seconds) of events that can make leases expire. SIGTERM of a worker is not such an event."""
    jumps: list[tuple[float, float]] = field(default_factory=list)
    """Jumps of PostgreSQL's clock: the time (Unix seconds) and the lead of that clock since then, in seconds."""
    forged: set[str] = field(default_factory=set)
    """Our ids of transactions whose final status a webhook of the driver contradicted."""
    lost: set[str] = field(default_factory=set)
    """The clients' ids of transactions that the database lost; their history at client and provider starts twice."""
    post_again: Callable[[Iterable[str]], None] = lambda refs: None
    """Has the clients post these transactions again."""
    complaints: list[str] = field(default_factory=list)
    """Messages about faults that did not proceed as planned."""

    @property
    def postgres(self) -> PostgreSQL:
        assert self.stores.postgres is not None
        return self.stores.postgres

    @property
    def valkey(self) -> Valkey:
        assert self.stores.valkey is not None
        return self.stores.valkey

    def broker(self) -> "redis.Redis":
        return redis.Redis.from_url(self.stores.broker_url, socket_timeout=5)

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on the service's database and return its rows."""
        connection = psycopg2.connect(self.stack.environment["DATABASE_URL"])
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def jump(self, seconds: float) -> None:
        """Let PostgreSQL's clock jump. The client accepts signatures by that clock, as if it jumped as well."""
        self.switch(timestamps="any")
        self.execute(JUMP, seconds)
        self.jumps.append((time.time(), self.lead(time.time()) + seconds))

    def lead(self, at: float) -> float:
        """Return the lead of PostgreSQL's clock at this time (Unix seconds), in seconds."""
        return next((lead for since, lead in reversed(self.jumps) if since <= at), 0.0)

    def kill(self, *children: Child) -> None:
        """Send SIGKILL to each process and its process group."""
        self.kills.append(time.time())
        for child in children:
            self.down.add(child.name)
            child.kill()

    def start(self, *children: Child) -> None:
        for child in children:
            child.start()
            self.down.discard(child.name)

    def worker(self, slot: Slot) -> Child:
        return Random(slot.draw).choice(self.stack.workers)

    def switch(self, **modes: str) -> None:
        """Set the outages of the sandbox."""
        requests.post(f"{self.stack.sandbox_url}/control", json=modes, timeout=30).raise_for_status()


Act = Callable[[Scene, Slot], Any]


@dataclass(frozen=True)
class Fault:
    """Kind of fault. A fault without duration has no `end`."""

    what: str
    span: Span
    begin: Act
    end: Act = lambda scene, slot: None


def _stop_worker(scene: Scene, slot: Slot) -> None:
    """Send SIGTERM to a worker. It must hand back its jobs and exit within the grace period."""
    worker = scene.worker(slot)
    scene.down.add(worker.name)
    worker.request_stop()
    if not worker.wait(GRACE):
        scene.complaints.append(f"{worker.name} had not stopped {GRACE} s after SIGTERM")
        worker.kill()
    scene.start(worker)


def _freeze(scene: Scene, slot: Slot) -> None:
    """Send SIGSTOP to a worker, like a suspended machine. Its leases expire before it continues."""
    scene.kills.append(time.time())
    os.killpg(scene.worker(slot).pid, signal.SIGSTOP)


def _limit_open_files(soft: int) -> Act:
    """Return an act that sets the soft limit on open files of a worker's processes, at most to the hard limit."""

    def limit(scene: Scene, slot: Slot) -> None:
        group = scene.worker(slot).pid
        for process in (int(found.name) for found in Path("/proc").iterdir() if found.name.isdigit()):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                if os.getpgid(process) == group:
                    hard = resource.prlimit(process, resource.RLIMIT_NOFILE)[1]
                    resource.prlimit(process, resource.RLIMIT_NOFILE, (min(soft, hard), hard))

    return limit


def _crash_database(scene: Scene, slot: Slot) -> None:
    scene.kills.append(time.time())  # a claim may be committed without an answer; its lease must then expire
    scene.postgres.crash()


def _end_sessions(scene: Scene, slot: Slot) -> None:
    scene.kills.append(time.time())
    scene.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def _restart_broker(scene: Scene, slot: Slot) -> None:
    scene.valkey.stop()
    scene.valkey.start()


def _enable_endpoint(scene: Scene, slot: Slot) -> None:
    """Restore the endpoint and enable it repeatedly, because a late 410 may disable it once more."""
    scene.switch(client="ok")
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        enable_endpoints(scene)
        time.sleep(0.05)


def enable_endpoints(scene: Scene) -> None:
    """Enable all endpoints, with the same change as the admin makes."""
    scene.execute("UPDATE clients_client SET endpoint_disabled_at = NULL, endpoint_disabled_why = ''")


def resume_providers(scene: Scene) -> None:
    """Resume all providers. No fault pauses one, so that a paused one is reported."""
    if scene.execute("UPDATE providers_provider SET paused = false, paused_why = '' WHERE paused RETURNING slug"):
        scene.complaints.append("a provider was paused")


def _outage(side: str, mode: str, what: str, end: Act | None = None) -> Fault:
    return Fault(
        what,
        Span(OUTAGE, HEAVY),
        lambda scene, slot: scene.switch(**{side: mode}),
        end or (lambda scene, slot: scene.switch(**{side: "ok"})),
    )


FAULTS: dict[str, Fault] = {
    "worker-killed": Fault(
        "kill -9 of one of two workers",
        Span(RESTART, HEAVY),
        lambda scene, slot: scene.kill(scene.worker(slot)),
        lambda scene, slot: scene.start(scene.worker(slot)),
    ),
    "workers-killed": Fault(
        "kill -9 of all workers",
        Span(RESTART, HEAVY),
        lambda scene, slot: scene.kill(*scene.stack.workers),
        lambda scene, slot: scene.start(*scene.stack.workers),
    ),
    "worker-stopped": Fault("SIGTERM of one of two workers", Span(0, HEAVY), _stop_worker),
    "worker-frozen": Fault(
        "one of two workers frozen for longer than its leases",
        Span(FROZEN, HEAVY),
        _freeze,
        lambda scene, slot: os.killpg(scene.worker(slot).pid, signal.SIGCONT),
    ),
    "few-descriptors": Fault(
        "one of two workers cannot open further files",
        Span(OUTAGE, HEAVY),
        _limit_open_files(FEW_FILES),
        _limit_open_files(1_048_576),
    ),
    "web-killed": Fault(
        "kill -9 of the web server",
        Span(RESTART, HEAVY),
        lambda scene, slot: scene.kill(scene.stack.web),
        lambda scene, slot: scene.start(scene.stack.web),
    ),
    "broker-flushed": Fault("FLUSHALL", Span(0, LIGHT), lambda scene, slot: scene.broker().flushall()),
    "broker-away": Fault(
        "Valkey stopped for 10 s, restarted empty",
        Span(10, HEAVY),
        lambda scene, slot: scene.valkey.stop(),
        lambda scene, slot: scene.valkey.start(),
    ),
    "broker-restarted": Fault("Valkey restarted, empty", Span(0, LIGHT), _restart_broker),
    "database-crashed": Fault(
        "PostgreSQL stopped immediately, started after 2 s",
        Span(2, HEAVY),
        _crash_database,
        lambda scene, slot: scene.postgres.start(),
    ),
    "sessions-ended": Fault("all PostgreSQL sessions terminated", Span(0, LIGHT), _end_sessions),
    "clock-forward": Fault(
        "PostgreSQL's clock jumps forward by an hour", Span(0, HEAVY), lambda scene, slot: scene.jump(HOUR)
    ),
    "clock-back": Fault(
        "PostgreSQL's clock jumps back by an hour", Span(0, HEAVY), lambda scene, slot: scene.jump(-HOUR)
    ),
    "commits-lost": Fault(
        "the newest transactions lost with all their rows, sessions terminated, POSTs repeated",
        Span(HELD, HEAVY),
        lambda scene, slot: losses.lose(scene),
    ),
    "provider-down": _outage("provider", "down", "the provider drops every connection"),
    "provider-500": _outage("provider", "500", "the provider answers 500"),
    "provider-429": _outage("provider", "429", "the provider answers 429"),
    "provider-hangs": _outage("provider", "hang", "the provider does not answer"),
    "client-down": _outage("client", "down", "the client's endpoint drops every connection"),
    "client-500": _outage("client", "500", "the client's endpoint answers 500"),
    "client-410": _outage("client", "410", "the client's endpoint answers 410 and is disabled", _enable_endpoint),
    "client-429": _outage("client", "429", "the client's endpoint answers 429"),
    "client-odd": _outage("client", "odd", "the client's endpoint confirms with broken answers"),
    "messages-repeated": Fault(
        "broker messages delivered again, several times",
        Span(0, LIGHT),
        lambda scene, slot: messages.repeat(scene.broker(), Random(slot.draw)),
    ),
    "messages-reordered": Fault(
        "old broker messages in a wrong order, mixed with invalid ones",
        Span(0, LIGHT),
        lambda scene, slot: messages.disorder(scene.broker(), Random(slot.draw)),
    ),
    "webhooks-forged": Fault(
        "webhooks repeated, late, contradicting, with a wrong token",
        Span(0, LIGHT),
        lambda scene, slot: webhooks.forge(scene, Random(slot.draw)),
    ),
    "strangers-flood": Fault(
        "20 strangers send webhooks without pause", Span(0, LIGHT), lambda scene, slot: webhooks.flood(scene)
    ),
}
