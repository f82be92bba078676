"""Turns of the shares of a lane, such as the clients of a provider."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db.models import Q
from django.db.models.functions import Now

from tests.cast import accepted, make_client
from tests.running import settle
from tests.workers.probe import new_job, new_jobs
from tests.workers.test_breaker import NOW, answered, move, opened, probe_now
from tests.workers.test_jobs_recovering import rows_read
from workers import jobs, sql
from workers.breaker import ALL_FAIL_FOR, BreakerStatistics, RunCounts, judge
from workers.lanes import Lane, Limit
from workers.models import Breaker, Job, RateLimit
from workers.outcomes import Again, Done, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_lane_is_known_as_crowded():
    jobs._crowded.clear()


def shares(claims):
    """Return the number of claimed jobs of each share."""
    return Counter(Job.objects.filter(pk__in=[one.id for one in claims]).values_list("share", flat=True))


def served(probe, times, n=1):
    """Claim `n` and settle, so many times; return the shares in their order."""
    order = []
    for _ in range(times):
        claims = probe.claim(n)
        order += sorted(shares(claims))
        for claimed in claims:
            settle(claimed, Outcome(Done()))
    return order


@pytest.mark.parametrize(("n", "others"), [(10, 5), (4, 2), (250, 10)])
def test_a_share_with_few_jobs_does_not_wait_for_one_with_many(probe, n, others):
    new_jobs(400, share=1, due_in=-100)
    new_jobs(10, share=2)

    assert shares(probe.claim(n)) == {1: n - others, 2: others}


@pytest.mark.parametrize("busy", [1, 2, 3])
def test_shares_take_turns_though_each_claim_takes_one_job(probe, busy):
    probe.limits[Lane("x1")] = 1
    new_jobs(20, share=busy, due_in=-100)
    for share in {1, 2, 3} - {busy}:
        new_jobs(2, share=share)

    order = served(probe, 6)

    assert sorted(order[:3]) == sorted(order[3:]) == [1, 2, 3]


@pytest.mark.parametrize("per_second", [0.5, 1.0, 5.0])
def test_shares_take_turns_under_a_rate_limit(probe, per_second):
    probe.rule = Limit(1000, per_second)
    new_jobs(60, share=1, due_in=-100)
    new_jobs(1, share=2)
    claims = [*probe.claim(), *probe.claim()]

    if 2 not in shares(claims):  # the first claim took all tokens
        RateLimit.objects.update(next_free_at=Now())
        claims += probe.claim()

    assert shares(claims)[2] == 1


@pytest.mark.parametrize(("running", "gets"), [(8, {2: 4}), (2, {1: 1, 2: 3}), (0, {1: 2, 2: 2})])
def test_the_share_with_the_fewest_running_jobs_comes_first(probe, running, gets):
    new_jobs(running, share=1, state="running", lease_until=Now())
    new_jobs(50, share=1, due_in=-100)
    new_jobs(50, share=2)

    assert shares(probe.claim(4)) == gets


def test_no_place_stays_free_though_one_share_has_most_of_the_jobs(probe):
    new_jobs(300, share=1)
    for share in range(2, 12):
        new_jobs(1, share=share)

    assert len(probe.claim(250)) == 250


def test_a_share_takes_its_oldest_jobs_first(probe):
    new_jobs(20, share=1, due_in=-1)
    old = [new_job(share=1, due_in=-9).pk for _ in range(3)]
    new_jobs(20, share=2)

    assert set(old) < {claimed.id for claimed in probe.claim(6)}


def test_shares_take_turns_over_the_kinds_of_a_lane(probe):
    kinds = [probe.kind, replace(probe.kind, name="notify")]
    probe.limits[Lane("x1")] = 1
    for share in (1, 2):
        for kind in ("track", "notify"):
            new_jobs(4, share=share, kind=kind, due_in=share * 10 - 100)
    order = []
    for _ in range(6):
        [claimed] = [one for found in jobs.claim_lanes({Lane("x1"): 1}, kinds) for one in found.claims]
        order += shares([claimed])
        settle(claimed, Outcome(Done()))

    assert Counter(order) == {1: 3, 2: 3}


@pytest.mark.parametrize("count", [1, 20, 250])
def test_a_claim_by_turns_reads_a_bounded_number_of_due_jobs(probe, count):
    new_jobs(5000, share=1, due_in=-100)
    new_jobs(10, share=2)
    one = {"lane": "x1", "kind": "track", "lease": 30.0, "n": count, "in_flight": 1000, "calls": 1}

    assert rows_read(sql.CLAIM_BY_TURNS, {"want": json.dumps([one]), "ahead": 2.0}) < 50 + 8 * count


def test_the_share_of_a_transactions_jobs_is_its_client(alice, third):
    bob = make_client("bob", third.provider)
    for caller in (alice, bob):
        record = accepted(caller, third)
        assert set(Job.objects.filter(transaction_id=record.id).values_list("share", flat=True)) == {caller.client.pk}


# --- probes


@pytest.fixture
def failing(probe):
    """A lane whose breaker is open, without jobs."""
    probe.rule = Limit(1000, breaker=True)
    opened(probe)
    Job.objects.all().delete()
    return probe


def probed(probe, outcome, times=1):
    """Run so many probes; return their shares and transactions."""
    taken = []
    for _ in range(times):
        probe_now()
        [claimed] = probe.claim()
        taken.append((Job.objects.get(pk=claimed.id).share, claimed.transaction_id))
        settle(claimed, outcome)
        statistics = BreakerStatistics()
        statistics.note(claimed, outcome)
        statistics.write()
    return taken


@pytest.mark.parametrize("shares", [(1, 2), (2, 1), (1, 5, 3)])
def test_probes_go_by_turns_of_the_shares(failing, shares):
    new_jobs(30, share=shares[0], due_in=-100)
    for share in shares[1:]:
        new_jobs(2, share=share)

    taken = [share for share, _ in probed(failing, Outcome(Again(0.0), calls=answered(500).calls), len(shares))]

    assert sorted(taken) == sorted(shares)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_no_transaction_is_probed_twice_in_a_row(failing, count):
    new_jobs(count, share=1, due_in=-100)

    taken = probed(failing, Outcome(Again(-100.0, why="500"), calls=answered(500).calls), 6)

    assert all(one != next_one for one, next_one in pairwise(taken))


def test_the_only_transaction_is_probed_again(failing):
    new_job()

    first, second = probed(failing, Outcome(Again(0.0), calls=answered(500).calls), 2)

    assert first == second


@pytest.mark.parametrize("poisoned", [1, 30, 200])
def test_a_probe_prefers_a_job_that_has_not_failed(failing, poisoned):
    new_jobs(poisoned, share=1, due_in=-100, last_error="it was answered 500")
    good = new_job(share=1)

    assert probed(failing, answered(200)) == [(1, good.transaction_id)]


# --- what counts for the breaker


def note_retries(probe, count, outcome):
    """Note so many retries that ended with this outcome, and write them."""
    statistics = BreakerStatistics()
    for _ in range(count):
        statistics.note(probe.claim_new(last_error="it was answered 500"), outcome)
    statistics.write()


@pytest.mark.parametrize("failures", [30, 100, 600])
def test_failed_retries_open_no_breaker_while_others_succeed(failures):
    one = Breaker(counted_at=NOW, failing_since=NOW - timedelta(minutes=5))

    judge(one, RunCounts(runs=2, retries_failed=failures, succeeded=True), NOW)

    assert one.opened_at is None


@pytest.mark.parametrize(("seconds", "opens"), [(ALL_FAIL_FOR + 1, True), (ALL_FAIL_FOR - 5, False), (0, False)])
def test_failed_retries_open_it_when_no_run_has_succeeded_for_a_while(probe, seconds, opens):
    probe.rule = Limit(1000, breaker=True, counted=True)
    new_jobs(1)
    statistics = BreakerStatistics()
    statistics.note(probe.claim()[0], answered(500))
    statistics.write()
    move(failing_since=Now() - timedelta(seconds=seconds))

    note_retries(probe, 20, answered(500))

    assert Breaker.objects.filter(~Q(opened_at=None)).exists() is opens


@pytest.mark.parametrize("error", ["it was answered 500", "not sent: refused", "handed back"])
def test_a_claim_knows_that_the_last_run_ended_with_an_error(probe, error):
    new_job(last_error=error)
    new_job(last_error="", of=(good := uuid4()))

    assert {(one.transaction_id == good, one.retry) for one in probe.claim()} == {(True, False), (False, True)}
