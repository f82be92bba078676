import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.threads import await_sessions_end
from tests.workers.probe import Gate, Probe, register
from workers import breaker, clock
from workers.engine import Engine
from workers.outcomes import Claim


@pytest.fixture
def probe(settings: Any) -> Iterator[Probe]:
    """A kind of job whose handler and limits the test sets."""
    probe = Probe()
    register(probe)
    settings.JOB_TABLE = "tests.workers.probe.TABLE"
    breaker.held_back.cache_clear()
    yield probe


@pytest.fixture
def claimed(probe: Probe) -> Claim:
    """A claimed job of the probe."""
    return probe.claim_new()


@pytest.fixture
def engines(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Engine]]:
    """Start engines; at the end of the test stop them and wait until their connections are closed."""
    made: list[Engine] = []
    monkeypatch.setattr(clock.database, "_first_at", -math.inf)  # this process has known the clock for long

    def make(probe: Probe, *, capacity: int = settings.WORKER_CAPACITY) -> Engine:
        settings.WORKER_CAPACITY = capacity
        made.append(Engine([probe.kind]))
        made[-1].start()
        return made[-1]

    yield make
    for engine in made:
        if not engine._loop.is_closed():
            engine.stop(grace=0)
    await_sessions_end()


@pytest.fixture
def engine(engines: Callable[..., Engine], probe: Probe) -> Engine:
    """A running engine. For tests with `transaction=True`."""
    return engines(probe)


@pytest.fixture
def gate(probe: Probe) -> Iterator[Gate]:
    """Block all runs until the test opens the gate."""
    gate = Gate()
    probe.handle = gate
    yield gate
    gate.open.set()
