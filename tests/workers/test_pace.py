"""Turns: calls of a lane with a limit a second are spread evenly over all workers."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from tests.servers import Answer, serving, until
from tests.threads import at_once, await_sessions_end
from tests.workers.probe import new_jobs, states
from workers import jobs
from workers.jobs import claim_one
from workers.models import Job, Pace
from workers.outbound import Http, NotSent, OutcomeUnknown
from workers.pace import AHEAD, Paced, Pacer
from workers.registry import Call, Done, Limit, Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def pacer(db):
    pacer = Pacer()
    yield pacer
    pacer.close()
    await_sessions_end()


def turns(pacer, *asked):
    async def ask():
        return await asyncio.gather(*(pacer.turn(lane, rate) for lane, rate in asked))

    return asyncio.run(ask())


def full_until(seconds, lane="x1"):
    Pace.objects.update_or_create(lane=lane, defaults={"until": Now() + timedelta(seconds=seconds)})


# --- turns


def test_the_first_turn_is_now(pacer):
    assert turns(pacer, ("x1", 10.0)) == [pytest.approx(0, abs=0.05)]


def test_turns_lie_evenly(pacer):
    full_until(5)

    first, *later = turns(pacer, *[("x1", 4.0)] * 5)

    assert 3 < first <= 5
    assert [wait - first for wait in later] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_turns_that_nobody_took_are_not_saved_up(pacer):
    full_until(-1000)

    assert max(turns(pacer, *[("x1", 10.0)] * 20)) > 1.5


def test_each_lane_has_turns_of_its_own(pacer):
    full_until(50, "x2")

    first, second = turns(pacer, ("x1", 1.0), ("x2", 1.0))

    assert first < 1
    assert 45 < second <= 50


def test_no_turn_is_given_twice_by_several_processes(db):
    full_until(100)
    pacers = [Pacer() for _ in range(4)]

    given = at_once(*[lambda pacer=pacer: turns(pacer, *[("x1", 2.0)] * 5) for pacer in pacers])
    for pacer in pacers:
        pacer.close()
    await_sessions_end()

    taken = sorted(wait for waits in given for wait in waits)
    gaps = [after - before for before, after in itertools.pairwise(taken)]
    assert min(gaps) > 0.3
    assert taken[-1] - taken[0] > 9


def test_a_pacer_gets_over_the_loss_of_its_connection(pacer, monkeypatch):
    turns(pacer, ("x1", 10.0))
    with monkeypatch.context() as patch:
        patch.setattr("workers.pace.sql.TAKE_TURNS", "SELECT pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(OperationalError):
            turns(pacer, ("x1", 10.0))

    assert len(turns(pacer, ("x1", 10.0))) == 1


# --- calls


@pytest.fixture
def claimed(probe):
    probe.rule = Limit(1000, per_second=1000.0)
    new_jobs(1)
    found = claim_one(Job.objects.get())
    assert found is not None
    return found


def paced_call(pacer, claimed, url, within=5.0):
    async def go():
        async with Http(["127.0.0.1"]) as http:
            return await Paced(http, pacer, claimed, 1000.0).call("POST", url, headers={}, within=within)

    return asyncio.run(go())


def test_a_call_waits_for_its_turn_and_says_how_long(pacer, claimed):
    full_until(1)
    with serving() as far:
        far.on("POST", Answer(200))
        answer = paced_call(pacer, claimed, far.url)

    assert answer.call.waited_ms > 0
    assert answer.call.duration_ms < answer.call.waited_ms


def test_the_time_that_taking_a_turn_takes_is_part_of_the_wait(pacer, claimed, monkeypatch):
    async def slow(self, lane, per_second):
        await asyncio.sleep(0.2)
        return 0.0

    monkeypatch.setattr(Pacer, "turn", slow)
    with serving() as far:
        far.on("POST", Answer(200))
        answer = paced_call(pacer, claimed, far.url)

    assert answer.call.waited_ms >= 200


def test_a_call_without_an_answer_says_how_long_it_waited(pacer, claimed):
    full_until(0.2)
    with serving() as far, pytest.raises(OutcomeUnknown) as failed:
        far.on("POST", Answer(lost=True))
        paced_call(pacer, claimed, far.url)

    assert failed.value.call.waited_ms > 0


def test_a_call_whose_turn_comes_too_late_for_the_lease_is_not_made(pacer, claimed):
    full_until(25)
    with serving() as far, pytest.raises(NotSent, match="too late") as kept_back:
        paced_call(pacer, claimed, far.url)

    assert far.asked == []
    assert not kept_back.value.call.made


def test_a_call_for_which_no_turn_can_be_had_is_not_made(pacer, claimed, monkeypatch):
    monkeypatch.setattr("workers.pace.sql.TAKE_TURNS", "SELECT pg_terminate_backend(pg_backend_pid())")
    with serving() as far, pytest.raises(NotSent, match="away") as kept_back:
        paced_call(pacer, claimed, far.url)

    assert far.asked == []
    assert not kept_back.value.call.made


# --- claims


def test_a_claim_takes_what_will_have_its_turn_in_some_seconds(probe):
    probe.rule = Limit(1000, per_second=5.0)
    new_jobs(50)

    assert len(probe.claim(50)) == 5 * AHEAD


def test_a_claim_counts_turns_that_are_taken(probe):
    probe.rule = Limit(1000, per_second=10.0)
    full_until(AHEAD - 0.5)
    new_jobs(50)

    assert 5 <= len(probe.claim(50)) < 10 * AHEAD


def test_a_claim_takes_nothing_while_more_turns_are_taken_than_that(probe):
    probe.rule = Limit(1000, per_second=10.0)
    full_until(AHEAD + 0.5)
    new_jobs(50)

    assert probe.claim(50) == []


def test_a_slow_pace_still_lets_one_through(probe):
    probe.rule = Limit(1000, per_second=0.2)
    new_jobs(3)

    assert len(probe.claim(50)) == 1


def test_a_single_job_keeps_to_the_pace(claimed):
    assert claimed.limit.per_second == 1000


# --- in engines


def test_two_engines_together_keep_a_lanes_pace(engines, probe):
    probe.rule = Limit(1000, per_second=20.0)
    with serving() as far:
        far.on("GET", Answer(200))
        made: list[datetime] = []

        async def handle(work, http):
            answer = await http.call("GET", far.url, headers={}, within=2.0)
            made.append(answer.call.started_at)
            return Outcome(Done(), calls=(answer.call,))

        probe.handle = handle
        new_jobs(40)

        def woken():
            for engine in both:
                engine.wake("x1")
            return set(states()) == {"done"}

        both = [engines(probe), engines(probe)]
        until(woken, 20)

    made.sort()
    in_a_second = max(sum(at <= other < at + timedelta(seconds=1) for other in made) for at in made)
    assert in_a_second <= 30  # 20, and what a busy machine delivers late; without turns it is all 40


def test_a_run_of_a_lane_without_a_pace_takes_no_turns(probe, pacer):
    new_jobs(1)
    [claimed] = probe.claim()

    async def handle(work, http):
        assert not isinstance(http, Paced)
        return Outcome(Done(), calls=(Call("GET", "http://far", datetime.now(UTC), 1),))

    probe.handle = handle

    async def go():
        async with Http([]) as http:
            return await jobs.run(claimed, claimed, http, pacer)

    assert isinstance(asyncio.run(go()).next, Done)
    assert not Pace.objects.exists()
