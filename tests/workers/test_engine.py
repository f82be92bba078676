"""The engine in this process, with its threads, on a real PostgreSQL: running, crashing, being woken."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from django.db import connection

from tests.servers import until
from tests.workers.probe import TABLE, all_done, new_job, new_jobs, states
from workers import clock, kinds
from workers.lanes import Lane
from workers.models import Job, JobKind
from workers.outcomes import Again, Done, Outcome, Wake

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


# --- running


def test_it_runs_a_due_job_and_settles_it(engine, probe):
    new = new_job()

    assert engine.wake(Lane("x1")).result(5) == 1
    until(all_done)
    assert [work.id for work in probe.begun] == [new.pk]
    until(lambda: engine.in_flight == 0)


@pytest.mark.parametrize(("claim_count", "runs"), [(0, 1), (1, 0), (5, 0)])
def test_a_new_process_runs_no_job_that_has_run_before(engine, probe, monkeypatch, claim_count, runs):
    """The database's clock may have jumped just before the process started."""
    monkeypatch.setattr("workers.clock.database._first_at", clock.elapsed())
    new_job(claim_count=claim_count)

    engine.wake(Lane("x1")).result(5)

    until(lambda: engine.in_flight == 0)
    assert len(probe.begun) == runs
    assert Job.objects.get().lost_at is None


def test_it_does_not_run_jobs_that_are_not_due(engine, probe):
    new_job(due_in=60)

    assert engine.wake(Lane("x1")).result(5) == 0
    assert probe.begun == []


def test_one_wake_is_enough_for_any_number_of_jobs(engine):
    new_jobs(1200)

    engine.wake(Lane("x1"))

    until(all_done, 20)


def test_it_runs_many_at_a_time(engine, gate):
    new_jobs(300)
    engine.wake(Lane("x1"))

    until(lambda: gate.inside == 300)
    assert engine.in_flight == 300


def test_a_job_without_a_snapshot_is_done_without_a_run(engine, probe, monkeypatch):
    monkeypatch.setattr(probe, "_load", None)
    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=lambda claims: {}))
    new_job()
    engine.wake(Lane("x1"))

    until(all_done)
    assert probe.begun == []


def test_a_job_that_cannot_be_loaded_crashes_alone(engine, probe, monkeypatch):
    bad = new_job()
    new_jobs(3)

    def load(claims):
        if any(claim.id == bad.pk for claim in claims):
            raise LookupError("no key opens this")
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=load))
    engine.wake(Lane("x1"))

    until(lambda: states() == ["waiting", "done", "done", "done"])
    assert Job.objects.get(pk=bad.pk).crashes == 1


def test_a_job_that_runs_again_soon_needs_no_wake(engine, probe):
    async def thrice(work, http):
        return Outcome(Again(0.05, work.tries + 1) if work.tries < 2 else Done())

    probe.handle = thrice
    new_job()
    engine.wake(Lane("x1"))

    until(all_done, 3)
    assert [work.tries for work in probe.begun] == [0, 1, 2]


def test_a_sibling_that_waited_runs_next(engine, probe, gate):
    first = new_job(key="1")
    engine.wake(Lane("x1")).result(5)
    new_job(of=first.transaction_id, key="2")
    assert engine.wake(Lane("x1")).result(5) == 0

    gate.open.set()

    until(all_done)
    assert gate.most == 1


# --- crashes


async def boom(work, http):
    raise LookupError("boom")


def test_a_handler_that_raises_is_run_again_later(engine, probe):
    probe.handle = boom
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: Job.objects.get().crashes == 1)
    found = Job.objects.get()
    assert (found.state, found.last_error) == ("waiting", "its run raised LookupError")
    assert found.lost_at is not None
    assert (found.run_at - found.updated_at).total_seconds() == pytest.approx(1, rel=0.25)


def test_a_handler_that_raises_too_often_is_given_up(engine, probe, settings):
    probe.handle = boom
    new_job(crashes=settings.MAX_CRASHES - 1)
    engine.wake(Lane("x1"))

    until(lambda: states() == ["failed"])
    assert "LookupError" in Job.objects.get().last_error


def test_a_handler_that_raises_harms_no_other(engine, probe):
    async def some(work, http):
        return await (boom(work, http) if work.tries else asyncio.sleep(0, Outcome(Done())))

    probe.handle = some
    new_job(tries=1)
    new_jobs(5)
    engine.wake(Lane("x1"))

    until(lambda: states() == ["waiting"] + ["done"] * 5)


def test_a_handler_whose_awaited_task_is_cancelled_has_crashed(engine, probe):
    async def cancelled(work, http):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    probe.handle = cancelled
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: Job.objects.get().crashes == 1, 3)
    until(lambda: engine.in_flight == 0)


def test_a_handler_that_is_cancelled_every_time_is_given_up(engine, probe, settings):
    settings.MAX_CRASHES = 1

    async def cancelled(work, http):
        raise asyncio.CancelledError

    probe.handle = cancelled
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: states() == ["failed"], 3)


@pytest.mark.parametrize("nonsense", [None, "done", Done()])
def test_a_handler_that_returns_nonsense_harms_no_other(engine, probe, nonsense):
    async def some(work, http):
        return nonsense if work.tries else Outcome(Done())

    probe.handle = some
    bad = new_job(tries=1)
    new_jobs(5)
    engine.wake(Lane("x1"))

    until(lambda: states()[1:] == ["done"] * 5)
    until(lambda: engine.in_flight == 0)
    assert Job.objects.get(pk=bad.pk).state in ("waiting", "failed")


def test_an_error_in_saving_results_costs_no_capacity(engines, probe):
    engine = engines(probe, capacity=2)

    def record(settled):
        raise LookupError("a bug")

    probe.record = record
    new_jobs(2)
    engine.wake(Lane("x1"))
    until(lambda: len(probe.begun) == 2)
    probe.record = lambda settled: []
    new_job(lane=Lane("x2"))

    until(lambda: engine.in_flight == 0)
    engine.wake(Lane("x2"))
    until(lambda: all_done(Lane("x2")))


def test_a_run_is_cut_off_before_its_lease_ends(engine, probe, gate, monkeypatch):
    monkeypatch.setattr(kinds, "LEASE_MARGIN", probe.kind.lease - 0.2)
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: Job.objects.get().crashes == 1, 3)
    assert Job.objects.get().last_error == "its run raised TimeoutError"


def test_a_run_that_began_late_is_also_cut_off_before_its_lease_ends(engines, probe, monkeypatch):
    """Loading took long, or the loop was busy: what counts is when the job was claimed."""
    monkeypatch.setattr(kinds, "LEASE_MARGIN", 0.2)
    left = []

    def slowly(claims):
        time.sleep(0.7)
        return {claim.id: claim for claim in claims}

    async def watched(work, http):
        try:
            await asyncio.sleep(5)
        finally:
            left.append(work.time_left())

    probe.kind = replace(probe.kind, lease=1.0, load=slowly, handle=watched)
    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, probe.kind)
    engine = engines(probe)
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: left, 3)
    assert left[0] > 0


# --- being woken


@pytest.mark.parametrize("delay", [0.1, 0.6])
def test_a_short_delay_ends_near_its_time(engine, probe, delay):
    new = new_job(due_in=delay)
    engine.wake(Lane("x1"), delay)

    until(all_done)
    late = (Job.objects.get().updated_at - new.run_at).total_seconds()
    assert 0 <= late < 0.25


def test_two_delays_both_end_near_their_time(engine, probe):
    first, second = new_job(due_in=0.1), new_job(due_in=0.4)
    engine.wake(Lane("x1"), 0.1)
    engine.wake(Lane("x1"), 0.4)

    until(all_done)
    for new in (first, second):
        assert 0 <= (Job.objects.get(pk=new.pk).updated_at - new.run_at).total_seconds() < 0.25


def test_a_claim_finds_the_next_due_job_without_a_wake(engine, probe):
    new_job()
    new = new_job(due_in=0.3)
    engine.wake(Lane("x1"))

    until(all_done)
    assert (Job.objects.get(pk=new.pk).updated_at - new.run_at).total_seconds() < 0.25


def test_an_earlier_wake_is_not_delayed_by_a_later_one(engine, probe):
    new = new_job(due_in=0.1)
    engine.wake(Lane("x1"), 1.9)
    engine.wake(Lane("x1"), 0.1)

    until(all_done)
    assert (Job.objects.get().updated_at - new.run_at).total_seconds() < 0.25


def test_a_wake_in_the_distant_future_is_left_to_the_dispatcher(engine, probe):
    new_job()

    assert engine.wake(Lane("x1"), 3600.0) is None
    assert probe.begun == []


def test_it_does_not_wake_for_kinds_that_are_not_its_own(engine, probe):
    new_job()
    engine.wake_all([Wake("create", Lane("x1"))])
    engine.wake(Lane("x2")).result(5)
    assert probe.begun == []

    engine.wake_all([Wake("track", Lane("x1"))])
    until(all_done)


def test_it_announces_kinds_that_other_workers_run(engine, monkeypatch):
    told: list[Wake] = []
    monkeypatch.setattr("workers.engine.announce", told.extend)

    engine.wake_all([Wake("create", Lane("x1")), Wake("track", Lane("x1"))])

    assert told == [Wake("create", Lane("x1"))]


def test_no_wake_is_lost_while_claims_are_under_way(engine, probe):
    """A job that is written before its lane is woken is claimed."""

    def write():
        try:
            for _ in range(40):
                new_job()
                engine.wake(Lane("x1"))
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    until(all_done)
    assert len(probe.begun) == 160
