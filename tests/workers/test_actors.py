"""Actors: a message wakes this process's engine; what fails is repeated by the broker."""

import threading
import time
from concurrent.futures import Future
from typing import Any

import dramatiq
import pytest
from django.db import OperationalError

from providers.models import Provider
from tests.cast import accepted, job
from tests.servers import Answer, serving, until
from tests.threads import await_sessions_end
from txnproject import jobs as actors
from txnproject.jobs import JOBS
from workers import engine as engines
from workers.announce import announce
from workers.lanes import Lane
from workers.lifecycle import EngineLifecycle
from workers.outcomes import Wake

pytestmark = pytest.mark.slow


class Woken:
    """Replacement for the engine."""

    def __init__(self, *results):
        self.wakes = []
        self._results = list(results)

    def wake(self, lane, after=0.0):
        self.wakes.append((lane, after))
        return self._results.pop(0) if self._results else None


def future(result):
    found: Future[Any] = Future()
    if isinstance(result, Exception):
        found.set_exception(result)
    else:
        found.set_result(result)
    return found


@pytest.mark.parametrize("kind", list(JOBS.kinds))
def test_a_message_wakes_the_lanes_it_names(monkeypatch, kind):
    engine = Woken()
    monkeypatch.setattr(engines, "running", engine)

    actor = JOBS.kinds[kind].actor
    assert actor is not None
    actor.fn({Lane("p1"): 0.0, Lane("c2"): 1.5})

    assert engine.wakes == [(Lane("p1"), 0.0), (Lane("c2"), 1.5)]


def test_each_kind_has_its_own_queue():
    assert {name: kind.actor.queue_name for name, kind in JOBS.kinds.items() if kind.actor} == {
        "create": "create", "track": "track", "notify": "notify"
    }  # fmt: skip


def test_a_database_error_is_raised_so_that_the_message_is_repeated(monkeypatch):
    monkeypatch.setattr(engines, "running", Woken(future(3), future(OperationalError("away"))))

    with pytest.raises(OperationalError):
        actors.create_at_provider.fn({Lane("p1"): 0.0, Lane("p2"): 0.0})


def test_it_does_not_wait_for_a_delayed_wake(monkeypatch):
    monkeypatch.setattr(engines, "running", Woken(None))
    started = time.monotonic()

    actors.create_at_provider.fn({Lane("p1"): 60.0})

    assert time.monotonic() - started < 1


def test_repeats_are_bounded_and_grow():
    for actor in (kind.actor for kind in JOBS.kinds.values() if kind.actor):
        assert 0 < actor.options["max_retries"] <= 20
        assert actor.options["min_backoff"] < actor.options["max_backoff"] <= 60_000
        assert actor.options["max_age"] <= 600_000


def test_the_error_in_a_process_without_an_engine_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr(engines, "running", None)

    with pytest.raises(RuntimeError, match="rundramatiq"):
        actors.notify_client.fn({Lane("c1"): 0.0})


# --- a real worker, in this process


@pytest.fixture
def worker(db):
    """A Dramatiq worker with its engine and its dispatcher."""
    broker = dramatiq.get_broker()
    for queue in ("create", "track", "notify"):
        broker.flush(queue)
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=2)
    worker.start()
    yield worker
    worker.stop(timeout=10_000)
    engines.running = None
    await_sessions_end()


@pytest.mark.django_db(transaction=True)
def test_a_message_makes_a_worker_complete_a_transaction(alice, third, worker):
    with serving() as far:
        far.on("GET", Answer(404))
        far.on("POST", Answer(201, {"status": "completed"}))
        Provider.objects.update(base_url=far.url)
        record = accepted(alice, third)

        until(lambda: job(record, "create").state == "done", 5)

    assert far.methods == ["GET", "POST"]


@pytest.mark.django_db(transaction=True)
def test_a_worker_finds_due_jobs_without_a_message(alice, third, worker, monkeypatch):
    monkeypatch.setattr("transactions.store.announce", lambda wakes: None)
    with serving() as far:
        far.on("GET", Answer(200, {"status": "completed"}))
        Provider.objects.update(base_url=far.url)
        record = accepted(alice, third)

        until(lambda: job(record, "create").state == "done", 5)


@pytest.fixture
def swept(monkeypatch):
    """Set by a periodic task."""
    swept = threading.Event()

    def sweep():
        swept.set()
        return False

    monkeypatch.setitem(JOBS.periodic_tasks, "sweep", sweep)
    return swept


@pytest.mark.django_db(transaction=True)
def test_a_worker_runs_its_periodic_tasks_until_it_stops(swept, worker):
    assert swept.wait(5)

    worker.stop(timeout=10_000)
    engines.running = None

    assert "periodic tasks" not in [thread.name for thread in threading.enumerate()]


def test_a_message_for_a_lane_that_is_gone_harms_nothing(monkeypatch):
    engine = Woken(future(0))
    monkeypatch.setattr(engines, "running", engine)

    actors.create_at_provider.fn({Lane("p999"): 0.0})

    assert engine.wakes == [(Lane("p999"), 0.0)]


def test_the_lifecycle_is_part_of_the_broker():
    assert any(isinstance(one, EngineLifecycle) for one in dramatiq.get_broker().middleware)


def test_announcing_works_from_any_process(db):
    announce([Wake("create", Lane("p1"))])
