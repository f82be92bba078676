"""The engine while the database goes away, and as it stops."""

import threading
import time
from dataclasses import replace

import pytest
from django.db import DatabaseError, InternalError, OperationalError
from django.db.models.functions import Now

from tests.running import expire
from tests.servers import until
from tests.threads import end_sessions
from tests.transactions.api.outages import database_read_only, failed_over, from_server
from tests.workers.probe import TABLE, all_done, new_job, new_jobs, states
from workers import jobs
from workers.lanes import Lane
from workers.models import Job, JobKind
from workers.outcomes import Done, Failed, Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


# --- the database goes away


def test_the_result_of_a_run_survives_the_end_of_every_connection(engine, probe, gate):
    new_job()
    engine.wake(Lane("x1")).result(5)
    until(lambda: gate.inside == 1)

    end_sessions()
    gate.open.set()

    until(all_done)
    assert len(probe.begun) == 1


def test_it_claims_again_after_the_end_of_every_connection(engine, probe):
    new_job()
    engine.wake(Lane("x1"))
    until(all_done)
    end_sessions()
    new_job()

    with pytest.raises(DatabaseError):
        engine.wake(Lane("x1")).result(5)
    engine.wake(Lane("x1"))

    until(all_done)


@pytest.fixture
def settles(monkeypatch) -> list[int]:
    """Numbers of results in the settles that were tried."""
    tried, settle = [], jobs.settle

    def counted(results):
        tried.append(len(results))
        return settle(results)

    monkeypatch.setattr(jobs, "settle", counted)
    return tried


def test_the_result_of_a_run_survives_a_failover(engine, probe, gate, settles):
    new_job()
    engine.wake(Lane("x1")).result(5)
    until(lambda: gate.inside == 1)

    with failed_over():
        gate.open.set()
        until(all_done)

    assert len(probe.begun) == 1
    assert list(Job.objects.values_list("crashes", flat=True)) == [0]


def test_it_claims_again_after_a_failover(engine, probe):
    new_job()
    engine.wake(Lane("x1")).result(5)
    until(all_done)
    new_job()

    with failed_over():
        with pytest.raises(InternalError):
            engine.wake(Lane("x1")).result(5)
        engine.wake(Lane("x1")).result(5)
        until(all_done)


def test_the_result_of_a_run_survives_a_read_only_database_that_outlasts_its_lease(engine, probe, gate, settles):
    job = new_job()
    engine.wake(Lane("x1")).result(5)
    until(lambda: gate.inside == 1)
    expire(job)
    engine._kinds = {JobKind.TRACK: replace(probe.kind, lease=0.0)}

    with database_read_only():
        gate.open.set()
        until(lambda: len(settles) > 2)

    until(all_done)
    assert len(probe.begun) == 1
    assert list(Job.objects.values_list("crashes", flat=True)) == [0]


def test_a_result_that_no_session_can_store_does_not_outlast_its_lease(engine, probe, gate, monkeypatch):
    def refuse(results):
        raise from_server(DatabaseError, "XX000")

    new_job()
    engine.wake(Lane("x1")).result(5)
    until(lambda: gate.inside == 1)
    engine._kinds = {JobKind.TRACK: replace(probe.kind, lease=0.0)}
    monkeypatch.setattr(jobs, "settle", refuse)
    gate.open.set()

    until(lambda: engine.in_flight == 0)


def test_a_settle_that_fails_is_repeated(engine, probe, monkeypatch):
    tried, settle = [], jobs.settle

    def flaky(results):
        tried.append(len(results))
        if len(tried) < 3:
            raise OperationalError("away")
        return settle(results)

    monkeypatch.setattr(jobs, "settle", flaky)
    new_job()
    engine.wake(Lane("x1"))

    until(all_done)
    assert tried == [1, 1, 1]
    until(lambda: engine.in_flight == 0)


def test_a_claim_that_cannot_load_hands_its_jobs_back(engine, probe, monkeypatch):
    """The database went away between the claim and the load: nothing has begun, so nothing need wait for a lease."""
    tried = []

    def flaky(claims):
        tried.append(1)
        if len(tried) == 1:
            raise OperationalError("away")
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=flaky))
    new_job()
    engine.wake(Lane("x1"))

    def woken():
        engine.wake(Lane("x1"))
        return all_done()

    until(woken, 5)


# --- stopping


def test_a_working_event_loop_answers(engine):
    until(lambda: engine.unanswered() == 0)


def test_a_stuck_event_loop_does_not_answer(engine, probe):
    blocked, release = threading.Event(), threading.Event()

    async def handle(work, http):
        blocked.set()
        release.wait(10)  # as no handler should: it blocks the loop
        return Outcome(Done())

    probe.handle = handle
    new_job()
    engine.wake(Lane("x1"))
    blocked.wait(5)
    engine.unanswered()

    assert [engine.unanswered() for _ in range(3)] == [1, 2, 3]
    release.set()
    until(lambda: engine.unanswered() == 0)


def test_stopping_hands_back_running_jobs_at_once(engine, probe, gate):
    new_jobs(20)
    engine.wake(Lane("x1"))
    until(lambda: gate.inside == 20)
    started = time.monotonic()

    engine.stop(grace=0)

    assert time.monotonic() - started < 2
    assert set(Job.objects.values_list("state", "crashes")) == {("waiting", 0)}
    assert not Job.objects.filter(lost_at=None).exists()
    assert [one.id for one in probe.claim(50)] != []


def test_stopping_lets_runs_end_within_the_grace(engine, probe, gate):
    new_job()
    engine.wake(Lane("x1"))
    until(lambda: gate.inside == 1)
    threading.Timer(0.2, gate.open.set).start()

    engine.stop(grace=10)

    assert states() == ["done"]


def test_stopping_an_idle_engine_waits_for_nothing(engine):
    started = time.monotonic()

    engine.stop(grace=10)

    assert time.monotonic() - started < 1


def test_a_stopped_engine_claims_nothing(engine, probe):
    engine.stop(grace=0)
    new_job()

    assert engine.wake(Lane("x1")) is None
    assert engine.wake(Lane("x1"), 0.01) is None
    assert states() == ["waiting"]


def test_a_wake_while_it_stops_leaves_nothing_running(engine, probe, gate):
    new_jobs(500)
    for _ in range(3):
        engine.wake(Lane("x1"))

    engine.stop(grace=0)

    assert set(states()) == {"waiting"}


def test_jobs_whose_run_had_not_begun_are_not_remembered_as_lost(engine, probe, monkeypatch):
    """They were claimed as the stop came: no call can have begun, so no create need be waited for."""
    loading, go_on = threading.Event(), threading.Event()

    def load(claims):
        loading.set()
        go_on.wait(10)
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=load))
    new_job()
    engine.wake(Lane("x1"))
    loading.wait(5)
    threading.Timer(0.2, go_on.set).start()

    engine.stop(grace=0)

    assert probe.begun == []
    assert (Job.objects.get().state, Job.objects.get().lost_at) == ("waiting", None)


def test_a_lost_run_before_one_that_had_not_begun_is_still_remembered(engine, probe, monkeypatch):
    loading, go_on = threading.Event(), threading.Event()

    def load(claims):
        loading.set()
        go_on.wait(10)
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=load))
    new_job(lost_at=Now())
    engine.wake(Lane("x1"))
    loading.wait(5)
    threading.Timer(0.2, go_on.set).start()

    engine.stop(grace=0)

    assert Job.objects.get().state == "waiting"
    assert Job.objects.get().lost_at is not None


def test_runs_that_ended_before_the_stop_are_settled(engine, probe):
    async def fail(work, http):
        return Outcome(Failed("no"))

    probe.handle = fail
    new_jobs(300)
    engine.wake(Lane("x1"))
    until(lambda: len(probe.begun) == 300)

    engine.stop(grace=0)

    assert set(states()) == {"failed"}
