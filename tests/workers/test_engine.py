"""The engine in this process, with its threads, on a real PostgreSQL."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.db.models.functions import Now

from tests.servers import until
from tests.threads import await_sessions_end, end_sessions
from tests.workers.probe import new_job, new_jobs, states
from workers import jobs, registry
from workers.engine import Engine
from workers.models import Job
from workers.registry import Again, Done, Failed, Outcome

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engines():
    """Makes engines; ends them with the test, and their connections with them."""
    made = []

    def make(probe, **how):
        made.append(Engine([probe.kind], **how))
        made[-1].start()
        return made[-1]

    yield make
    for engine in made:
        if not engine._loop.is_closed():
            engine.stop(grace=0)
    await_sessions_end()


@pytest.fixture
def engine(engines, probe):
    return engines(probe)


class Gate:
    """A handler that waits until it is opened; it counts who is in it."""

    def __init__(self):
        self.inside = self.most = 0
        self.open = threading.Event()

    async def __call__(self, work, http):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            while not self.open.is_set():  # noqa: ASYNC110  it is opened from another thread
                await asyncio.sleep(0.005)
        finally:
            self.inside -= 1
        return Outcome(Done())


@pytest.fixture
def gate(probe):
    probe.handle = Gate()
    yield probe.handle
    probe.handle.open.set()


def done(lane="x1"):
    return set(states(lane)) == {"done"}


# --- running


def test_it_runs_a_due_job_and_settles_it(engine, probe):
    new = new_job()

    assert engine.wake("x1").result(5) == 1
    until(done)
    assert [work.id for work in probe.begun] == [new.pk]
    until(lambda: engine.in_flight == 0)


def test_it_leaves_alone_what_is_not_due(engine, probe):
    new_job(due_in=60)

    assert engine.wake("x1").result(5) == 0
    assert probe.begun == []


def test_one_wake_is_enough_for_any_number_of_jobs(engine):
    new_jobs(1200)

    engine.wake("x1")

    until(done, 20)


def test_it_runs_many_at_a_time(engine, gate):
    new_jobs(300)
    engine.wake("x1")

    until(lambda: gate.inside == 300)
    assert engine.in_flight == 300


def test_a_job_without_a_snapshot_is_done_without_a_run(engine, probe, monkeypatch):
    monkeypatch.setattr(probe, "_load", None)
    monkeypatch.setitem(registry._kinds, "probe", replace(probe.kind, load=lambda claims: {}))
    new_job()
    engine.wake("x1")

    until(done)
    assert probe.begun == []


def test_a_job_that_cannot_be_loaded_crashes_alone(engine, probe, monkeypatch):
    bad = new_job()
    new_jobs(3)

    def load(claims):
        if any(claim.id == bad.pk for claim in claims):
            raise LookupError("no key opens this")
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(registry._kinds, "probe", replace(probe.kind, load=load))
    engine.wake("x1")

    until(lambda: states() == ["waiting", "done", "done", "done"])
    assert Job.objects.get(pk=bad.pk).crashes == 1


def test_a_job_that_is_to_run_again_soon_does_so_without_being_woken(engine, probe):
    async def thrice(work, http):
        return Outcome(Again(0.05, work.step + 1) if work.step < 2 else Done())

    probe.handle = thrice
    new_job()
    engine.wake("x1")

    until(done, 3)
    assert [work.step for work in probe.begun] == [0, 1, 2]


def test_a_sibling_that_waited_runs_next(engine, probe, gate):
    first = new_job(key="1")
    engine.wake("x1").result(5)
    new_job(of=first.transaction_id, key="2")
    assert engine.wake("x1").result(5) == 0

    gate.open.set()

    until(done)
    assert gate.most == 1


# --- crashes


async def boom(work, http):
    raise LookupError("boom")


def test_a_handler_that_raises_is_run_again_later(engine, probe):
    probe.handle = boom
    new_job()
    engine.wake("x1")

    until(lambda: Job.objects.get().crashes == 1)
    found = Job.objects.get()
    assert (found.state, found.last_error) == ("waiting", "its run raised LookupError")
    assert found.lost_at is not None
    assert (found.run_at - found.updated_at).total_seconds() == pytest.approx(1, rel=0.25)


def test_a_handler_that_raises_too_often_is_given_up(engine, probe, settings):
    probe.handle = boom
    new_job(crashes=settings.MAX_CRASHES - 1)
    engine.wake("x1")

    until(lambda: states() == ["failed"])
    assert "LookupError" in Job.objects.get().last_error


def test_a_handler_that_raises_harms_no_other(engine, probe):
    async def some(work, http):
        return await (boom(work, http) if work.step else asyncio.sleep(0, Outcome(Done())))

    probe.handle = some
    new_job(step=1)
    new_jobs(5)
    engine.wake("x1")

    until(lambda: states() == ["waiting"] + ["done"] * 5)


@pytest.mark.parametrize("nonsense", [None, "done", Done()])
def test_a_handler_that_returns_nonsense_harms_no_other(engine, probe, nonsense):
    async def some(work, http):
        return nonsense if work.step else Outcome(Done())

    probe.handle = some
    bad = new_job(step=1)
    new_jobs(5)
    engine.wake("x1")

    until(lambda: states()[1:] == ["done"] * 5)
    until(lambda: engine.in_flight == 0)
    assert Job.objects.get(pk=bad.pk).state in ("waiting", "failed")


def test_a_recording_that_breaks_costs_no_capacity(engines, probe):
    engine = engines(probe, capacity=2)

    def record(settled):
        raise LookupError("a bug")

    probe.record = record
    new_jobs(2)
    engine.wake("x1")
    until(lambda: len(probe.begun) == 2)
    probe.record = lambda settled: []
    new_job(lane="x2")

    until(lambda: engine.in_flight == 0)
    engine.wake("x2")
    until(lambda: done("x2"))


def test_a_run_is_cut_off_before_its_lease_ends(engine, probe, gate, monkeypatch):
    monkeypatch.setattr(registry, "LEASE_MARGIN", probe.kind.lease - 0.2)
    new_job()
    engine.wake("x1")

    until(lambda: Job.objects.get().crashes == 1, 3)
    assert Job.objects.get().last_error == "its run raised TimeoutError"


def test_a_run_that_began_late_is_cut_off_before_its_lease_ends_all_the_same(engines, probe, monkeypatch):
    """Loading took long, or the loop was busy: what counts is when the job was claimed."""
    monkeypatch.setattr(registry, "LEASE_MARGIN", 0.2)
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
    monkeypatch.setitem(registry._kinds, "probe", probe.kind)
    engine = engines(probe)
    new_job()
    engine.wake("x1")

    until(lambda: left, 3)
    assert left[0] > 0


# --- limits


def test_it_runs_no_more_than_its_capacity(engines, probe, gate):
    engine = engines(probe, capacity=3)
    new_jobs(10)
    engine.wake("x1")
    until(lambda: gate.inside == 3)

    gate.open.set()

    until(done)
    assert gate.most == 3


def test_it_runs_no_more_than_its_capacity_of_many_lanes(engines, probe, gate):
    engine = engines(probe, capacity=2)
    for number in range(8):
        new_job(lane=f"x{number}")
    for number in range(8):
        engine.wake(f"x{number}")
    until(lambda: gate.inside >= 2)

    gate.open.set()

    until(lambda: set(Job.objects.values_list("state", flat=True)) == {"done"})
    assert gate.most == 2


def test_it_runs_no_more_than_a_lanes_limit_and_goes_on_by_itself(engine, probe, gate):
    probe.limits["x1"] = 2
    new_jobs(7)
    engine.wake("x1")
    until(lambda: gate.inside == 2)

    gate.open.set()

    until(done)
    assert gate.most == 2


def test_a_lane_at_its_limit_does_not_delay_another(engine, probe):
    held = Gate()

    async def by_lane(work, http):
        return await held(work, http) if work.lane == "x1" else Outcome(Done())

    probe.handle, probe.limits["x1"] = by_lane, 2
    new_jobs(50)
    engine.wake("x1").result(5)
    new_jobs(20, lane="x2")
    started = time.monotonic()
    engine.wake("x2")

    until(lambda: done("x2"), 2)
    assert time.monotonic() - started < 1
    assert held.inside == 2
    held.open.set()


def test_two_workers_keep_within_a_lanes_limit_and_run_each_job_once(engines, probe, gate):
    probe.limits["x1"] = 3
    one, other = engines(probe), engines(probe)
    new_jobs(30)
    for engine in (one, other):
        engine.wake("x1")
    until(lambda: gate.inside == 3)
    gate.open.set()

    def woken():
        one.wake("x1")
        other.wake("x1")
        return done()

    until(woken)
    assert gate.most == 3
    assert sorted(work.id for work in probe.begun) == sorted(Job.objects.values_list("id", flat=True))


# --- being woken


@pytest.mark.parametrize("delay", [0.1, 0.6])
def test_a_short_delay_ends_near_its_time(engine, probe, delay):
    new = new_job(due_in=delay)
    engine.wake("x1", delay)

    until(done)
    late = (Job.objects.get().updated_at - new.run_at).total_seconds()
    assert 0 <= late < 0.25


def test_of_two_delays_both_end_near_their_time(engine, probe):
    first, second = new_job(due_in=0.1), new_job(due_in=0.4)
    engine.wake("x1", 0.1)
    engine.wake("x1", 0.4)

    until(done)
    for new in (first, second):
        assert 0 <= (Job.objects.get(pk=new.pk).updated_at - new.run_at).total_seconds() < 0.25


def test_a_claim_learns_of_the_next_job_that_nobody_told_of(engine, probe):
    new_job()
    new = new_job(due_in=0.3)
    engine.wake("x1")

    until(done)
    assert (Job.objects.get(pk=new.pk).updated_at - new.run_at).total_seconds() < 0.25


def test_an_earlier_wake_is_not_kept_back_by_a_later_one(engine, probe):
    new = new_job(due_in=0.1)
    engine.wake("x1", 1.9)
    engine.wake("x1", 0.1)

    until(done)
    assert (Job.objects.get().updated_at - new.run_at).total_seconds() < 0.25


def test_a_wake_in_the_distant_future_is_left_to_the_dispatcher(engine, probe):
    new_job()

    assert engine.wake("x1", 3600.0) is None
    assert probe.begun == []


def test_it_does_not_wake_for_kinds_that_are_not_its_own(engine, probe):
    new_job()
    engine.wake_all([registry.Wake("create", "x1")])
    engine.wake("x2").result(5)
    assert probe.begun == []

    engine.wake_all([registry.Wake("probe", "x1")])
    until(done)


def test_no_wake_is_lost_while_claims_are_under_way(engine, probe):
    """Whoever writes a job and then wakes its lane may rely on it."""

    def write():
        try:
            for _ in range(40):
                new_job()
                engine.wake("x1")
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    until(done)
    assert len(probe.begun) == 160


# --- the database goes away


def test_what_a_run_learnt_survives_the_end_of_every_connection(engine, probe, gate):
    new_job()
    engine.wake("x1").result(5)
    until(lambda: gate.inside == 1)

    end_sessions()
    gate.open.set()

    until(done)
    assert len(probe.begun) == 1


def test_it_claims_again_after_the_end_of_every_connection(engine, probe):
    new_job()
    engine.wake("x1")
    until(done)
    end_sessions()
    new_job()

    with pytest.raises(DatabaseError):
        engine.wake("x1").result(5)
    engine.wake("x1")

    until(done)


def test_a_settle_that_fails_is_repeated(engine, probe, monkeypatch):
    tried, settle = [], jobs.settle

    def flaky(results):
        tried.append(len(results))
        if len(tried) < 3:
            raise OperationalError("away")
        return settle(results)

    monkeypatch.setattr(jobs, "settle", flaky)
    new_job()
    engine.wake("x1")

    until(done)
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

    monkeypatch.setitem(registry._kinds, "probe", replace(probe.kind, load=flaky))
    new_job()
    engine.wake("x1")

    def woken():
        engine.wake("x1")
        return done()

    until(woken, 5)


# --- stopping


def test_stopping_hands_back_at_once_what_is_under_way(engine, probe, gate):
    new_jobs(20)
    engine.wake("x1")
    until(lambda: gate.inside == 20)
    started = time.monotonic()

    engine.stop(grace=0)

    assert time.monotonic() - started < 2
    assert set(Job.objects.values_list("state", "crashes")) == {("waiting", 0)}
    assert not Job.objects.filter(lost_at=None).exists()
    assert [one.id for one in probe.claim(50)] != []


def test_stopping_lets_runs_end_within_the_grace(engine, probe, gate):
    new_job()
    engine.wake("x1")
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

    assert engine.wake("x1") is None
    assert engine.wake("x1", 0.01) is None
    assert states() == ["waiting"]


def test_a_wake_while_it_stops_leaves_nothing_running(engine, probe, gate):
    new_jobs(500)
    for _ in range(3):
        engine.wake("x1")

    engine.stop(grace=0)

    assert set(states()) == {"waiting"}


def test_jobs_whose_run_had_not_begun_are_not_remembered_as_lost(engine, probe, monkeypatch):
    """They were claimed as the stop came: no call can have begun, so no create need be waited for."""
    loading, go_on = threading.Event(), threading.Event()

    def load(claims):
        loading.set()
        go_on.wait(10)
        return {claim.id: claim for claim in claims}

    monkeypatch.setitem(registry._kinds, "probe", replace(probe.kind, load=load))
    new_job()
    engine.wake("x1")
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

    monkeypatch.setitem(registry._kinds, "probe", replace(probe.kind, load=load))
    new_job(lost_at=Now())
    engine.wake("x1")
    loading.wait(5)
    threading.Timer(0.2, go_on.set).start()

    engine.stop(grace=0)

    assert Job.objects.get().state == "waiting"
    assert Job.objects.get().lost_at is not None


def test_what_ended_before_the_stop_is_settled(engine, probe):
    async def fail(work, http):
        return Outcome(Failed("no"))

    probe.handle = fail
    new_jobs(300)
    engine.wake("x1")
    until(lambda: len(probe.begun) == 300)

    engine.stop(grace=0)

    assert set(states()) == {"failed"}
