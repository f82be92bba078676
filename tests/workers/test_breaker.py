"""The circuit breaker: what opens it, what it lets through, what closes it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.db.models import F
from django.db.models.functions import Now

from providers.models import Provider
from tests.cast import clear_caches
from tests.servers import until
from tests.workers.probe import new_job, new_jobs, states
from workers import breaker, jobs
from workers import kinds as job_kinds
from workers.breaker import HALF_LIFE, MIN_CALLS, PROBE_EVERY, BreakerStatistics, RunCounts, judge
from workers.lanes import Lane, Limit
from workers.models import Breaker
from workers.outcomes import Again, Call, Done, Outcome, Wake

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
several = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(status=None, **more):
    return Call("GET", "http://far", NOW, 1, http_status=status, **more)


def answered(*statuses):
    return Outcome(Done(), calls=tuple(call(status) for status in statuses))


@pytest.fixture
def probe(probe):
    probe.rule = Limit(1000, breaker=True)
    return probe


def run(probe, outcome, times=1):
    """Claim, count and write down so many runs; how many were claimed."""
    statistics = BreakerStatistics()
    claims = probe.claim(times)
    for claimed in claims:
        statistics.note(claimed, outcome)
        jobs.settle([(claimed, outcome)])
    statistics.write()
    return len(claims)


def opened(probe, outcome=None):
    """Its breaker, opened by runs that failed."""
    new_jobs(MIN_CALLS)
    assert run(probe, outcome or answered(500), MIN_CALLS) == MIN_CALLS
    found = Breaker.objects.get()
    assert found.opened_at is not None
    return found


def probe_now():
    move(probe_at=Now())


def move(**fields):
    Breaker.objects.update(**fields)
    breaker.held_back.cache_clear()


# --- what it makes of a count


@pytest.mark.parametrize(
    ("runs", "failures", "opens"),
    [(10, 5, True), (10, 4, False), (9, 9, False), (1000, 100, False)],
)
def test_it_opens_when_half_of_enough_runs_failed(runs, failures, opens):
    one = Breaker(counted_at=NOW)

    judge(one, RunCounts(runs=runs, failures=failures), NOW)

    assert (one.opened_at is not None) is opens


def test_old_failures_lose_their_weight():
    one = Breaker(counted_at=NOW, runs=9, failures=9)

    judge(one, RunCounts(runs=9, failures=2), NOW + timedelta(seconds=10 * HALF_LIFE))

    assert one.opened_at is None


def test_failures_in_several_processes_add_up():
    one = Breaker(counted_at=NOW)

    for _ in range(2):
        judge(one, RunCounts(runs=6, failures=6), NOW)

    assert one.opened_at == NOW


def test_the_first_probe_waits_for_the_retry_after_of_a_429():
    one = Breaker(counted_at=NOW)

    judge(one, RunCounts(runs=MIN_CALLS, failures=MIN_CALLS, retry_after=90), NOW)

    assert one.probe_at == NOW + timedelta(seconds=90)


def test_while_it_is_open_runs_that_began_before_do_not_count():
    one = Breaker(counted_at=NOW, opened_at=NOW, probe_at=NOW)

    judge(one, RunCounts(runs=100), NOW)

    assert one.opened_at == NOW


def test_one_successful_probe_closes_it_and_resets_its_counts():
    one = Breaker(counted_at=NOW, opened_at=NOW, probe_at=NOW, runs=50, failures=50)

    judge(one, RunCounts(runs=2, failures=1, probes_passed=1, probes_failed=1), NOW + timedelta(seconds=60))

    assert (one.opened_at, one.probe_at, one.runs, one.failures) == (None, None, 0, 0)


def test_the_retry_after_of_a_probe_delays_the_next_probe():
    one = Breaker(counted_at=NOW, opened_at=NOW, probe_at=NOW)

    judge(one, RunCounts(runs=1, failures=1, probes_failed=1, retry_after=30), NOW)

    assert (one.opened_at, one.probe_at) == (NOW, NOW + timedelta(seconds=30))


# --- what counts


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [
        (answered(200), 0),
        (answered(404), 0),
        (answered(422), 0),
        (answered(500), 1),
        (answered(429), 1),
        (answered(404, 504), 1),
        (answered(None), 1),
    ],
)
def test_a_run_failed_when_one_of_its_calls_failed(probe, outcome, failures):
    new_job()

    run(probe, outcome)

    assert (Breaker.objects.get().runs, Breaker.objects.get().failures) == (1, failures)


@pytest.mark.parametrize("outcome", [Outcome(Done()), Outcome(Done(), calls=(call(made=False),))])
def test_a_run_without_calls_does_not_count(probe, outcome):
    new_job()

    run(probe, outcome)

    assert not Breaker.objects.exists()


def test_a_lane_without_a_breaker_is_not_counted(probe):
    probe.rule = Limit(1000)
    new_job()

    run(probe, answered(500))

    assert not Breaker.objects.exists()


# --- since when all runs fail


def failing():
    return list(Breaker.objects.filter(breaker.FAILING).values_list("kind", flat=True))


def run_each(probe, *outcomes):
    """Run them one by one, a minute apart."""
    for outcome in outcomes:
        Breaker.objects.update(
            failing_since=F("failing_since") - timedelta(minutes=1), failed_at=F("failed_at") - timedelta(minutes=1)
        )
        new_job()
        run(probe, outcome)


NO_PROGRESS = [None, 500, 503, 429, 401, 403, 407, 408, 301, 308]


@pytest.mark.parametrize("status", NO_PROGRESS)
def test_a_lane_with_one_call_a_minute_fails_from_its_third_failed_call_on(probe, status):
    run_each(probe, *[answered(status)] * 2)
    assert failing() == []

    run_each(probe, answered(status))
    assert failing() == ["track"]
    assert Breaker.objects.get().opened_at is None


def test_a_lane_whose_breaker_is_off_can_fail_and_its_breaker_stays_closed(probe):
    probe.rule = Limit(1000, counted=True)
    new_jobs(3 * MIN_CALLS)
    run(probe, answered(500), 3 * MIN_CALLS)
    move(failing_since=Now() - timedelta(minutes=2))

    assert failing() == ["track"]
    assert (Breaker.objects.get().opened_at, Breaker.objects.get().runs) == (None, 0)


@pytest.mark.parametrize("status", [200, 404, 422])
def test_one_answer_ends_it(probe, status):
    run_each(probe, *[answered(500)] * 3, answered(status))

    assert failing() == []
    assert Breaker.objects.get().failing_since is None


@pytest.mark.parametrize(
    ("statuses", "in_a_row"), [((500, 200, 500, 500), 2), ((500, 500, 200), 0), ((200, 500), 1), ((500, 503), 4)]
)
def test_only_the_runs_since_the_last_success_count(probe, statuses, in_a_row):
    run_each(probe, answered(500), answered(500))
    statistics = BreakerStatistics()
    new_jobs(len(statuses))
    for claimed, status in zip(probe.claim(), statuses, strict=True):
        statistics.note(claimed, answered(status))
    statistics.write()

    assert Breaker.objects.get().failed_runs == in_a_row


def test_many_failures_within_a_moment_are_not_yet_reported(probe):
    new_jobs(50)
    run(probe, answered(500), 50)

    assert Breaker.objects.get().failed_runs == 50
    assert failing() == []


@pytest.mark.parametrize(("hours_ago", "fails"), [(1.5, ["track"]), (1.99, ["track"]), (2.01, [])])
def test_failures_count_for_two_hours(probe, hours_ago, fails):
    run_each(probe, *[answered(500)] * 3)
    move(failed_at=Now() - timedelta(hours=hours_ago), failing_since=Now() - timedelta(hours=9))

    assert failing() == fails


def test_failures_count_while_the_breaker_is_open_too(probe):
    opened(probe)
    new_jobs(1)
    probe_now()
    run(probe, answered(503))

    assert Breaker.objects.get().failed_runs == MIN_CALLS + 1


@pytest.mark.parametrize("circuit_breaker", [True, False])
def test_the_runs_of_each_provider_are_counted_and_not_those_of_endpoints(alice, third, circuit_breaker):
    Provider.objects.update(circuit_breaker=circuit_breaker)
    clear_caches()

    found = [job_kinds.lane_limit(lane) for lane in (third.settings.lane, alice.settings.lane)]
    assert [(limit.counted, limit.breaker) for limit in found] == [(True, circuit_breaker), (False, False)]


# --- counts of a process


def test_the_longest_retry_after_is_kept(probe):
    statistics = BreakerStatistics()
    new_jobs(2)
    for claimed, after in zip(probe.claim(), (30.0, 10.0), strict=True):
        statistics.note(claimed, Outcome(Again(900.0), calls=(call(429, retry_after=after),)))

    assert statistics._counts[Lane("x1"), "track"].retry_after == 30


def test_a_429_delays_a_probe_by_a_minute_at_most(probe):
    statistics = BreakerStatistics()
    statistics.note(probe.claim_new(), Outcome(Again(1.0), calls=(call(429, retry_after=3600.0),)))

    assert statistics._counts[Lane("x1"), "track"].retry_after == 60


def test_writing_is_due_once_a_breaker_may_open(probe):
    statistics = BreakerStatistics()
    new_jobs(MIN_CALLS)
    *most, last = probe.claim(MIN_CALLS // 2)
    for claimed in most:
        statistics.note(claimed, answered(500))
    assert not statistics.is_due

    statistics.note(last, answered(500))

    assert statistics.is_due


# --- what it lets through


def test_an_open_breaker_stops_claims(probe):
    opened(probe)
    new_job()

    assert probe.claim() == []


def test_it_stops_only_its_kind_and_lane(probe):
    opened(probe)
    move(kind="notify")
    new_job()
    assert len(probe.claim()) == 1

    move(kind="track", lane=Lane("x2"))
    new_job()
    assert len(probe.claim()) == 1


def test_one_run_is_claimed_per_probe_interval(probe):
    opened(probe)
    new_jobs(3)
    probe_now()

    [claimed] = probe.claim()

    assert claimed.probe
    assert probe.claim() == []
    wait = Breaker.objects.annotate(wait=F("probe_at") - Now()).get().wait
    assert PROBE_EVERY - 2 < wait.total_seconds() <= PROBE_EVERY


def test_a_probe_whose_worker_dies_is_followed_by_another(probe):
    opened(probe)
    new_jobs(2)
    probe_now()
    probe.claim()
    probe_now()

    assert [claimed.probe for claimed in probe.claim()] == [True]


def test_a_successful_probe_lets_the_other_jobs_run(probe):
    opened(probe)
    new_jobs(3)
    probe_now()

    assert run(probe, answered(200)) == 1

    assert [claimed.probe for claimed in probe.claim()] == [False, False]


def test_a_probe_that_fails_leaves_it_open(probe):
    opened(probe)
    new_jobs(3)
    probe_now()

    run(probe, answered(503))

    assert probe.claim() == []


def test_a_breaker_that_is_switched_off_stops_no_claim(probe):
    opened(probe)
    new_jobs(3)
    probe.rule = Limit(1000)

    assert [claimed.probe for claimed in probe.claim()] == [False] * 3


def test_an_operator_may_close_it(probe):
    opened(probe)
    new_jobs(3)

    assert breaker.close(Lane("x1"), probe.kind.name)
    breaker.held_back.cache_clear()

    assert len(probe.claim()) == 3
    assert not breaker.close(Lane("x1"), probe.kind.name)


@pytest.fixture
def kinds(probe):
    """The probe's kind, and another one that shares its lanes."""
    return [probe.kind, replace(probe.kind, name="notify")]


def claim(kinds):
    return [claimed for found in jobs.claim_lanes({Lane("x1"): 100}, kinds) for claimed in found.claims]


def test_a_lane_with_many_jobs_of_another_kind_still_probes(probe, kinds):
    opened(probe)
    probe.rule = Limit(5, breaker=True)
    new_jobs(3)
    for _ in range(20):
        new_job(kind="notify", due_in=-5)
    probe_now()

    taken = sorted((claimed.kind, claimed.probe) for claimed in claim(kinds))
    assert taken == [("notify", False)] * 4 + [("track", True)]


def test_a_probe_is_not_taken_while_no_job_is_due(probe, kinds):
    opened(probe)
    new_job(kind="notify")
    probe_now()
    claim(kinds)
    new_job()

    assert [claimed.probe for claimed in claim(kinds)] == [True]


def test_after_a_probe_without_calls_the_next_probe_is_due_at_once(probe):
    opened(probe)
    new_jobs(3)
    probe_now()

    for _ in range(2):
        assert run(probe, Outcome(Done())) == 1

    assert run(probe, answered(200)) == 1
    assert Breaker.objects.get().opened_at is None


# --- in the engine


@several
def test_counts_that_cannot_be_written_delay_no_wake(engine, probe, monkeypatch):
    """The settle has been committed: what it gave work to is woken all the same."""

    def away(self):
        raise OperationalError("gone")

    monkeypatch.setattr(BreakerStatistics, "is_due", True)
    monkeypatch.setattr(BreakerStatistics, "write", away)
    probe.record = lambda settled: [Wake("track", Lane("x2"))] if settled[0][0].lane == Lane("x1") else []
    new_job(lane=Lane("x2"))
    new_job()
    engine.wake(Lane("x1"))

    until(lambda: states(Lane("x2")) == ["done"])


@several
def test_the_engine_stops_calling_a_failing_provider_and_resumes_when_it_is_back(engine, probe):
    healthy = False

    async def handle(work, http):
        return answered(200 if healthy else 500)

    probe.handle = handle
    new_jobs(MIN_CALLS)
    engine.wake(Lane("x1"))
    until(lambda: Breaker.objects.filter(opened_at__isnull=False).exists())
    new_jobs(5)
    assert engine.wake(Lane("x1")).result(5) == 0

    healthy = True
    probe_now()
    engine.wake(Lane("x1"))

    until(lambda: states() == ["done"] * (MIN_CALLS + 5))
    assert Breaker.objects.get().opened_at is None
