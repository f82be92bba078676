"""The engine's capacity, and its lanes' limits."""

import time

import pytest

from tests.servers import until
from tests.workers.probe import TABLE, Gate, all_done, new_job, new_jobs
from workers.foundation import descriptors
from workers.lanes import Lane
from workers.models import Job
from workers.outcomes import Done, Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_it_runs_no_more_than_its_capacity(engines, probe, gate):
    engine = engines(probe, capacity=3)
    lanes = (Lane("x1"), Lane("x2"), Lane("x3"))
    for lane in lanes:
        new_jobs(10, lane=lane)
        engine.wake(lane)
    until(lambda: gate.inside == 3)

    gate.open.set()

    until(lambda: all(all_done(lane) for lane in lanes))
    assert gate.most == 3


def test_a_lane_never_holds_more_places_than_it_leaves_free(engines, probe):
    """One whose other side hangs, with a limit above the capacity: the others find places all the same."""
    held = Gate()

    async def by_lane(work, http):
        return await held(work, http) if work.lane == Lane("x1") else Outcome(Done())

    probe.handle = by_lane
    engine = engines(probe, capacity=20)
    new_jobs(50)
    until(lambda: engine.wake(Lane("x1")).result(5) == 0)
    assert held.inside == 10
    new_jobs(30, lane=Lane("x2"))

    engine.wake(Lane("x2"))

    until(lambda: all_done(Lane("x2")))
    held.open.set()
    until(all_done)


def test_it_runs_no_more_than_its_capacity_of_many_lanes(engines, probe, gate):
    engine = engines(probe, capacity=2)
    for number in range(8):
        new_job(lane=Lane(f"x{number}"))
    for number in range(8):
        engine.wake(Lane(f"x{number}"))
    until(lambda: gate.inside >= 2)

    gate.open.set()

    until(lambda: set(Job.objects.values_list("state", flat=True)) == {"done"})
    assert gate.most == 2


def test_it_runs_no_more_than_a_lanes_limit_and_goes_on_by_itself(engine, probe, gate):
    probe.limits[Lane("x1")] = 2
    new_jobs(7)
    engine.wake(Lane("x1"))
    until(lambda: gate.inside == 2)

    gate.open.set()

    until(all_done)
    assert gate.most == 2


def test_a_lane_at_its_limit_does_not_delay_another(engine, probe):
    held = Gate()

    async def by_lane(work, http):
        return await held(work, http) if work.lane == Lane("x1") else Outcome(Done())

    probe.handle, probe.limits[Lane("x1")] = by_lane, 2
    new_jobs(50)
    engine.wake(Lane("x1")).result(5)
    new_jobs(20, lane=Lane("x2"))
    started = time.monotonic()
    engine.wake(Lane("x2"))

    until(lambda: all_done(Lane("x2")), 2)
    assert time.monotonic() - started < 1
    assert held.inside == 2
    held.open.set()


def test_two_workers_keep_within_a_lanes_limit_and_run_each_job_once(engines, probe, gate):
    probe.limits[Lane("x1")] = 3
    one, other = engines(probe), engines(probe)
    new_jobs(30)
    for engine in (one, other):
        engine.wake(Lane("x1"))
    until(lambda: gate.inside == 3)
    gate.open.set()

    def woken():
        one.wake(Lane("x1"))
        other.wake(Lane("x1"))
        return all_done()

    until(woken)
    assert gate.most == 3
    assert sorted(work.id for work in probe.begun) == sorted(Job.objects.values_list("id", flat=True))


@pytest.mark.parametrize(("lanes", "each"), [(30, 300), (8, 50), (100, 3)])
def test_many_hanging_endpoints_leave_places_for_others(engines, probe, monkeypatch, lanes, each):
    """Lanes of one owner (`x`) hang; those of another owner still find more than a few places."""
    monkeypatch.setitem(TABLE.limits, "y", probe.limit)
    held = Gate()
    most = Gate()

    async def by_owner(work, http):
        return await (held if work.lane.owner == "x" else most)(work, http)

    probe.handle = by_owner
    engine = engines(probe, capacity=80)
    for number in range(lanes):
        new_jobs(each, lane=Lane(f"x{number}"))

    def all_refused():
        return [engine.wake(Lane(f"x{number}")).result(5) for number in range(lanes)] == [0] * lanes

    until(all_refused, 20)
    assert held.inside <= 60
    new_jobs(30, lane=Lane("y1"))
    until(lambda: (engine.wake(Lane("y1")), most.inside >= 10)[1])
    held.open.set()
    most.open.set()
    until(lambda: set(Job.objects.values_list("state", flat=True)) == {"done"}, 60)


@pytest.mark.parametrize(("limit", "capacity"), [(256, 80), (1024, 464), (100, 2), (50, 1)])
def test_the_limit_on_open_files_bounds_the_capacity(engines, probe, monkeypatch, limit, capacity):
    monkeypatch.setattr(descriptors, "raise_limit", lambda: limit)

    assert engines(probe).capacity == capacity


@pytest.mark.parametrize(("lanes", "each"), [(5, 3), (3, 5), (4, 4)])
def test_a_lane_without_running_jobs_gets_the_next_free_place(engines, probe, lanes, each):
    """The other sides of all other lanes hang."""
    held = Gate()

    async def by_lane(work, http):
        return Outcome(Done()) if work.lane == Lane("x999") else await held(work, http)

    probe.handle = by_lane
    engine = engines(probe, capacity=20)
    for number in range(lanes):
        new_jobs(each, lane=Lane(f"x{number}"))
        engine.wake(Lane(f"x{number}"))
    until(lambda: held.inside == min(15, lanes * each))
    for number in (*range(lanes), 999):
        new_jobs(20, lane=Lane(f"x{number}"))
        assert engine.wake(Lane(f"x{number}")).result(5) == 0

    engine._loop.call_soon_threadsafe(next(iter(engine._tasks)).cancel)

    until(lambda: all_done(Lane("x999")))
    held.open.set()
