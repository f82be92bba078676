"""Dispatcher: jobs without a message, and jobs of lost workers."""

import contextlib
import math
import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from tests.clock_shim import shifted_clock
from tests.running import expire
from tests.servers import until
from tests.threads import await_sessions_end, end_sessions
from tests.workers.probe import new_job, states
from txnproject import __version__
from workers import clock, jobs
from workers import dispatcher as module
from workers.breaker import BreakerStatistics
from workers.dispatcher import Dispatcher
from workers.foundation.session_settings import MissingSettings
from workers.lanes import Lane, Limit
from workers.models import Breaker, Clock, Job, WorkerProcess
from workers.outcomes import Call, Done, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


class Woken:
    """Replacement for the engine."""

    def __init__(self):
        self.wakes = {}
        self.in_flight = 3
        self.statistics = BreakerStatistics()
        self.silent = 0

    def unanswered(self):
        return self.silent

    def wake_all(self, wakes):
        self.wakes |= {wake.lane: wake.after for wake in wakes}

    def wake(self, lane, after=0.0):
        self.wakes[lane] = after


@pytest.fixture
def engine():
    return Woken()


@pytest.fixture
def dispatcher(engine):
    return Dispatcher(engine, queues=["track", "create"])


def test_it_wakes_lanes_with_due_jobs(dispatcher, engine):
    new_job()

    dispatcher.tick()

    assert engine.wakes == {Lane("x1"): 0}


def test_it_wakes_lanes_whose_job_is_due_before_the_next_tick_at_that_time(dispatcher, engine):
    new_job(due_in=0.5)
    new_job(lane=Lane("x2"), due_in=5)

    dispatcher.tick()

    assert engine.wakes == {Lane("x1"): pytest.approx(0.5, abs=0.1)}


def test_it_ends_the_process_when_the_event_loop_is_stuck(dispatcher, engine, monkeypatch):
    ended = []
    monkeypatch.setattr("workers.dispatcher.os.kill", lambda pid, how: ended.append((pid, how)))
    engine.silent = module.STUCK
    dispatcher.tick()
    assert ended == []

    engine.silent += 1
    dispatcher.tick()

    assert ended == [(os.getpid(), signal.SIGKILL)]


def test_it_saves_the_results_of_runs_for_the_breakers(dispatcher, engine, probe):
    probe.rule = Limit(1000, breaker=True)
    call = Call("GET", "http://far", datetime.now(UTC), 1, http_status=200)
    engine.statistics.note(probe.claim_new(), Outcome(Done(), calls=(call,)))

    dispatcher.tick()

    assert Breaker.objects.get().runs == 1


def test_it_returns_expired_leases_and_wakes_their_lanes(dispatcher, engine, probe):
    claimed = probe.claim_new()
    expire(Job.objects.get())

    dispatcher.tick()

    assert (Job.objects.get().state, Job.objects.get().pk) == ("waiting", claimed.id)
    assert engine.wakes == {Lane("x1"): 0}


def test_it_saves_the_heartbeat_of_its_process(dispatcher):
    dispatcher.tick()

    alive = WorkerProcess.objects.get()
    assert (alive.queues, alive.in_flight) == ("create,track", 3)
    assert alive.host and alive.pid


def test_it_saves_the_version_of_its_process(dispatcher):
    dispatcher.tick()

    assert WorkerProcess.objects.get().version == __version__


def test_it_notes_a_jump_of_the_databases_clock(dispatcher, monkeypatch):
    monkeypatch.setattr(clock, "database", clock.DatabaseClock())
    dispatcher.tick()
    with shifted_clock() as shifted:
        shifted.jump(3600)
        dispatcher.tick()

    assert Clock.objects.exists()


def test_it_saves_how_far_the_clock_of_its_machine_is_ahead(dispatcher, monkeypatch):
    monkeypatch.setattr(clock.database, "skew", lambda: 12.5)
    dispatcher.tick()

    assert WorkerProcess.objects.get().clock_skew == 12.5


def test_a_second_tick_updates_the_same_process(dispatcher, engine):
    dispatcher.tick()
    WorkerProcess.objects.update(beat_at=Now() - timedelta(minutes=5))
    engine.in_flight = 9
    dispatcher.tick()

    alive = WorkerProcess.objects.get()
    assert alive.in_flight == 9
    assert alive.beat_at >= alive.started_at


def test_it_deletes_processes_without_a_heartbeat_for_an_hour(dispatcher, engine):
    Dispatcher(engine, queues=[]).tick()
    WorkerProcess.objects.update(beat_at=Now() - timedelta(minutes=61))

    dispatcher.tick()

    assert WorkerProcess.objects.get().queues == "create,track"


def test_a_job_that_cannot_be_given_up_delays_no_other(dispatcher, engine, probe, settings, monkeypatch):
    settings.MAX_CRASHES = 1
    probe.claim_new()
    expire(Job.objects.get())
    new_job(lane=Lane("x2"))

    def broken(*_):
        raise LookupError("a bug")

    monkeypatch.setattr(jobs, "give_up", broken)
    for _ in range(2):
        with contextlib.suppress(LookupError):
            dispatcher.tick()

    assert Lane("x2") in engine.wakes


# --- as a thread


@pytest.fixture
def looking(dispatcher, monkeypatch):
    """A dispatcher on its own thread, with a short interval."""
    monkeypatch.setattr("workers.periodic.INTERVAL", 0.02)
    dispatcher.start()
    yield dispatcher
    dispatcher.stop()
    await_sessions_end()


@pytest.mark.django_db(transaction=True)
def test_it_repeats_its_checks(looking, engine):
    until(WorkerProcess.objects.exists)
    new_job()

    until(lambda: Lane("x1") in engine.wakes)


@pytest.mark.django_db(transaction=True)
def test_it_survives_the_end_of_its_connection(looking, engine):
    until(WorkerProcess.objects.exists)
    assert end_sessions() == 1
    new_job()

    until(lambda: Lane("x1") in engine.wakes)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError, LookupError])
def test_it_survives_any_error_of_a_tick(looking, engine, monkeypatch, error):
    failed = threading.Event()

    def fail(*_, **__):
        failed.set()
        raise error("broken")

    with monkeypatch.context() as broken:
        broken.setattr(jobs, "due_lanes", fail)
        assert failed.wait(5)
    new_job()

    until(lambda: Lane("x1") in engine.wakes)


def test_leases_that_ended_during_an_outage_are_recovered_after_the_workers_could_settle(
    dispatcher, engine, probe, monkeypatch
):
    expire(Job.objects.get(pk=probe.claim_new().id))
    with monkeypatch.context() as away:
        away.setattr(WorkerProcess.objects, "filter", mock.Mock(side_effect=OperationalError))
        with pytest.raises(OperationalError):
            dispatcher.tick()

    dispatcher.tick()
    dispatcher.tick()
    assert states() == ["running"]

    monkeypatch.setattr(module, "SETTLE_FIRST", 0.0)
    dispatcher.tick()
    assert states() == ["waiting"]


@pytest.mark.django_db(transaction=True)
def test_stopping_ends_it(looking):
    looking.stop()

    assert not looking._thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_stopped_process_is_not_shown_as_silent(looking):
    until(WorkerProcess.objects.exists)
    looking.stop()

    assert not WorkerProcess.objects.exists()


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
def test_a_worker_whose_session_has_lost_a_timeout_stops(dispatcher_of_sessions, name):
    dispatcher, signals = dispatcher_of_sessions
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = 0")

    with pytest.raises(MissingSettings, match=f"{name} is 0"):
        dispatcher.tick()
    assert signals == [signal.SIGTERM]
    assert not WorkerProcess.objects.exists(), "it no longer reports itself as alive"


@pytest.fixture
def dispatcher_of_sessions(monkeypatch):
    """A dispatcher whose next tick checks the session, and the signals that its process gets."""
    signals: list[int] = []
    monkeypatch.setattr("workers.dispatcher.os.kill", lambda _, number: signals.append(number))
    dispatcher = Dispatcher(Woken(), queues=[])  # type: ignore[arg-type]
    dispatcher._session_checked = -math.inf
    return dispatcher, signals
