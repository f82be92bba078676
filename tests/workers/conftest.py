from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.threads import await_sessions_end
from tests.workers.probe import Gate, Probe, register
from workers import breaker
from workers.engine import Engine
from workers.outcomes import Claim


@pytest.fixture
def probe(settings: Any) -> Iterator[Probe]:
    """A kind of job that does what the test says."""
    probe = Probe()
    register(probe)
    settings.JOB_TABLE = "tests.workers.probe.TABLE"
    breaker.held_back.cache_clear()
    yield probe


@pytest.fixture
def claimed(probe: Probe) -> Claim:
    """A job of the probe that was just claimed."""
    return probe.claim_new()


@pytest.fixture
def engines(db: None, settings: Any) -> Iterator[Callable[..., Engine]]:
    """Makes engines; ends them with the test, and their connections with them."""
    made: list[Engine] = []

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
    """Holds all runs until it is opened."""
    gate = Gate()
    probe.handle = gate
    yield gate
    gate.open.set()
