"""Settles: the next state of a job and the results of its run, also after another worker has claimed the job."""

import contextlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from providers.status import Status
from tests.cast import accepted, due_now, job, now
from tests.running import claim, expire, settle, wait_of
from tests.threads import at_once, errors
from tests.workers.probe import new_job, new_jobs, states
from transactions.observations import Observation
from transactions.status import Source
from txnproject.jobs import JOBS
from webhooks.outgoing.deliveries import DeliveryResult as Confirmed
from workers import jobs
from workers.kinds import kind_of
from workers.lanes import Lane
from workers.models import Job, JobKind, OutboundCall
from workers.outcomes import Again, Call, Done, Failed, NoResult, Outcome, Wake

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
several = pytest.mark.django_db(transaction=True)

DOUBTFUL: Any = "doubtful"
CALL = Call("GET", "http://far/1", datetime(2026, 1, 2, tzinfo=UTC), 12, http_status=200, excerpt="ok")


def row(claimed):
    return Job.objects.get(pk=claimed.id)


# --- settling


def test_done_ends_a_job(claimed):
    assert settle(claimed, Outcome(Done())) == []
    assert (row(claimed).state, row(claimed).lease_until) == ("done", None)


def test_failed_ends_a_job_with_its_reason(claimed):
    settle(claimed, Outcome(Failed("no use")))

    assert (row(claimed).state, row(claimed).last_error) == ("failed", "no use")


def test_again_puts_a_job_off_and_wakes_its_lane_then(claimed):
    wakes = settle(claimed, Outcome(Again(40.0, 5, "later")))

    found = row(claimed)
    assert (found.state, found.tries, found.last_error) == ("waiting", 5, "later")
    assert wait_of(found) == pytest.approx(40, abs=0.01)
    assert wakes == [Wake("track", Lane("x1"), 40.0)]


def test_again_without_a_step_keeps_it(probe):
    claimed = probe.claim_new(tries=7)
    settle(claimed, Outcome(Again(1.0)))

    assert row(claimed).tries == 7


@pytest.mark.parametrize("after", [-5.0, 0.0])
def test_again_at_once_is_due_at_once(probe, claimed, after):
    settle(claimed, Outcome(Again(after)))

    assert [one.id for one in probe.claim()] == [claimed.id]


def test_a_result_clears_what_was_lost_and_what_crashed(probe):
    claimed = probe.claim_new(crashes=3, lost_at=Now())
    settle(claimed, Outcome(Again(1.0)))

    assert (row(claimed).crashes, row(claimed).lost_at) == (0, None)


def test_a_handed_back_run_is_due_at_once_and_remembered_as_lost(probe, claimed):
    settle(claimed, NoResult("handed back"))

    found = row(claimed)
    assert (found.state, found.crashes, found.last_error) == ("waiting", 0, "handed back")
    assert found.lost_at == pytest.approx(found.updated_at, abs=timedelta(seconds=0.01))
    assert probe.claim()[0].lost_at == found.lost_at


def test_a_crashed_run_counts_and_waits(claimed):
    settle(claimed, NoResult("raised", after=9.0, crashed=True))

    assert row(claimed).crashes == 1
    assert wait_of(row(claimed)) == pytest.approx(9, abs=0.01)


def test_what_a_run_learnt_is_recorded_with_its_claim(probe, claimed):
    outcome = Outcome(Done(), "news")
    settle(claimed, outcome)

    assert probe.recorded == [(claimed, outcome)]


def test_a_lost_run_has_nothing_to_record(probe, claimed):
    settle(claimed, NoResult("handed back"))

    assert probe.recorded == []


def test_what_recording_gave_work_to_is_woken(probe, claimed):
    probe.record = lambda settled: [Wake("notify", Lane("c7"))]

    assert settle(claimed, Outcome(Done())) == [Wake("notify", Lane("c7"))]


def test_every_call_is_kept(claimed):
    settle(claimed, Outcome(Done(), calls=(CALL, CALL)))

    [first, _] = OutboundCall.objects.all()
    assert (first.job_id, first.transaction_id, first.attempt) == (claimed.id, claimed.transaction_id, 1)
    assert (first.method, first.url, first.started_at, first.duration_ms) == (
        "GET", "http://far/1", CALL.started_at, 12
    )  # fmt: skip
    assert (first.http_status, first.error, first.excerpt) == (200, "", "ok")


def test_a_batch_settles_each_in_its_own_way(probe):
    claims = [probe.claim_new() for _ in range(3)]

    jobs.settle(list(zip(claims, (Outcome(Done()), Outcome(Failed("x")), NoResult("y")), strict=True)))

    assert states() == ["done", "failed", "waiting"]


def test_a_sibling_that_waited_is_woken(probe):
    claimed = probe.claim_new(of=(of := uuid4()), key="1")
    new_job(of=of, key="2")

    assert settle(claimed, Outcome(Done())) == [Wake("track", Lane("x1"))]


def test_a_batch_takes_few_statements(probe, django_assert_max_num_queries):
    results = [(probe.claim_new(), Outcome(Done(), calls=(CALL,))) for _ in range(20)]

    with django_assert_max_num_queries(6):  # two of them the savepoint of this test's transaction
        jobs.settle(results)


# --- fencing


@pytest.fixture
def overtaken(probe, claimed):
    """A claim whose lease ended and whose job somebody else has now."""
    expire(row(claimed))
    jobs.recover()
    [other] = probe.claim()
    assert (other.id, other.claim_count) == (claimed.id, claimed.claim_count + 1)
    return claimed


@pytest.mark.parametrize(
    "outcome", [Outcome(Done(), "news", calls=(CALL,)), Outcome(Failed("x"), "news", calls=(CALL,))]
)
def test_a_run_that_lost_its_lease_leaves_only_its_calls(probe, overtaken, outcome):
    before = Job.objects.filter(pk=overtaken.id).values().get()

    assert settle(overtaken, outcome) == []

    assert Job.objects.filter(pk=overtaken.id).values().get() == before
    assert probe.recorded == []
    assert OutboundCall.objects.filter(method="GET", attempt=1).count() == 1


@pytest.mark.parametrize("result", [Outcome(Done(), calls=(CALL,)), Outcome(Failed("x")), NoResult("handed back")])
def test_a_run_from_before_a_loss_of_commits_ends_no_other_job(probe, claimed, result):
    """The numbers of jobs repeat after a failover that lost commits, and so do the counts of their claims."""
    row(claimed).delete()
    other = probe.claim_new(id=claimed.id)
    assert (other.id, other.claim_count) == (claimed.id, claimed.claim_count)

    settle(claimed, result)

    assert row(other).state == "running"
    assert (probe.recorded, OutboundCall.objects.count()) == ([], 0)


def test_a_run_whose_claim_was_lost_changes_nothing(probe, claimed):
    """The database lost the commit of the claim, and another worker has claimed the job since."""
    Job.objects.filter(pk=claimed.id).update(state="waiting", claim_count=0, claim_token=None, lease_until=None)
    [again] = probe.claim()

    settle(claimed, Outcome(Failed("late"), calls=(CALL,)))

    assert (row(again).state, again.claim_count) == ("running", claimed.claim_count)
    assert OutboundCall.objects.count() == 1


def test_each_claim_of_a_batch_has_its_own_token(probe):
    new_jobs(3)

    assert len({claim.token for claim in probe.claim()}) == 3


def test_a_run_that_lost_its_lease_cannot_put_its_job_off(overtaken):
    assert settle(overtaken, Outcome(Again(1000.0, 9))) == []
    assert (row(overtaken).state, row(overtaken).tries) == ("running", 0)


def test_a_handed_back_run_that_lost_its_lease_changes_nothing(overtaken):
    settle(overtaken, NoResult("handed back"))

    assert row(overtaken).state == "running"


def test_a_run_whose_lease_ended_unnoticed_still_settles(claimed):
    expire(row(claimed))
    settle(claimed, Outcome(Done()))

    assert row(claimed).state == "done"


def test_a_second_settle_changes_nothing(probe, claimed):
    settle(claimed, Outcome(Again(1.0, 1)))
    settle(claimed, Outcome(Failed("late")))

    assert row(claimed).state == "waiting"
    assert len(probe.recorded) == 1


def test_one_lost_lease_does_not_keep_the_batch_from_settling(probe, overtaken):
    other = probe.claim_new()
    jobs.settle([(overtaken, Outcome(Done(), calls=(CALL,))), (other, Outcome(Done(), calls=(CALL,)))])

    assert (row(overtaken).state, row(other).state) == ("running", "done")


@pytest.mark.parametrize("order", [1, -1])
def test_a_lost_run_and_its_successor_in_one_batch_count_as_one(probe, overtaken, order):
    """The database was away for longer than a lease: one worker has both of them to settle when it is back."""
    current = replace(overtaken, token=row(overtaken).claim_token)
    results = [
        (overtaken, Outcome(Again(900.0, 9), "old", calls=(CALL,))),
        (current, Outcome(Done(), "new", calls=(CALL,))),
    ]

    assert jobs.settle(results[::order]) == []

    assert (row(current).state, row(current).tries) == ("done", 0)
    assert [outcome.result for _, outcome in probe.recorded] == ["new"]
    assert OutboundCall.objects.filter(method="GET").count() == 2


# --- what cannot be stored


def poison(which):
    return {
        "nul in an error": Outcome(Again(1.0, why="a\x00b")),
        "nul in a call": Outcome(Done(), calls=(Call("GET", "u", CALL.started_at, 1, excerpt="a\x00b"),)),
        "half a character": Outcome(Failed("a\ud800b")),
        "endless": Outcome(Again(float("inf"))),
        "too long": Outcome(Done(), calls=(Call("GETGETGET", "u", CALL.started_at, 1),)),
    }[which]


@pytest.mark.parametrize("which", ["nul in an error", "nul in a call", "half a character", "endless", "too long"])
def test_one_outcome_that_cannot_be_stored_fails_alone(probe, which):
    claims = [probe.claim_new() for _ in range(4)]
    outcomes = [Outcome(Done()), poison(which), Outcome(Again(5.0)), Outcome(Done())]

    jobs.settle(list(zip(claims, outcomes, strict=True)))

    assert states() == ["done", "failed", "waiting", "done"]
    assert "could not be stored" in row(claims[1]).last_error


def test_a_status_that_cannot_be_stored_fails_its_job_alone(alice, third):
    claims = [claim(job(accepted(alice, third), "create")) for _ in range(3)]
    words = [Status.COMPLETED, DOUBTFUL, Status.DECLINED]

    jobs.settle(
        [(c, Outcome(Done(), Observation(Source.CREATE, status=w))) for c, w in zip(claims, words, strict=True)]
    )

    assert [Job.objects.get(pk=one.id).state for one in claims] == ["done", "failed", "done"]


def test_a_create_whose_outcome_cannot_be_stored_may_have_happened(alice, third):
    record = accepted(alice, third)
    claimed = claim(job(record, "create"))

    settle(claimed, Outcome(Done(), Observation(Source.CREATE, status=DOUBTFUL, began_at=claimed.now())))

    row = now(record)
    assert row.review == "given_up"
    assert (row.submission, row.create_began_at is not None) == ("unknown", True)


def test_the_calls_of_an_outcome_that_cannot_be_stored_are_kept(alice, third):
    claimed = claim(job(accepted(alice, third), "create"))

    settle(claimed, Outcome(Done(), Observation(Source.CREATE, status=DOUBTFUL), calls=(CALL,)))

    assert OutboundCall.objects.filter(job=claimed.id).count() == 1


def test_a_recording_that_breaks_settles_the_others_of_its_batch(probe):
    """A bug in one kind's code must not cost the results of calls that were made."""
    broken, fine = probe.claim_new(), probe.claim_new()

    def record(settled):
        if any(outcome.result == "strange" for _, outcome in settled):
            raise LookupError("a bug")
        return []

    probe.record = record

    jobs.settle([(fine, Outcome(Done())), (broken, Outcome(Done(), "strange"))])

    assert (row(fine).state, row(broken).state) == ("done", "failed")


# --- settling at the same time


@several
def test_settles_of_one_transactions_jobs_do_not_deadlock(alice, third):
    """Two workers settle batches that touch the same transactions, each in its own order."""
    records = [accepted(alice, third) for _ in range(2)]
    creates, tracks = ([claim(job(one, kind)) for one in records] for kind in ("create", "track"))
    gate = threading.Barrier(2)

    def meeting(settled):
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(1)
        return save(settled)

    save = JOBS.kinds[JobKind.CREATE].save
    slow = {name: replace(JOBS.kinds[name], save=meeting) for name in ("create", "track")}
    with mock.patch.dict(JOBS.kinds, slow):
        news = Outcome(Done(), Observation(Source.POLL))
        results = at_once(
            lambda: jobs.settle([(creates[0], news), (tracks[1], news)]),
            lambda: jobs.settle([(creates[1], news), (tracks[0], news)]),
        )

    assert errors(results) == []


@several
def test_confirmations_and_news_of_the_same_transactions_do_not_deadlock(alice, third):
    records = [accepted(alice, third) for _ in range(60)]
    due_now(kind="notify")
    notifying, creating = kind_of("notify"), kind_of("create")

    for _ in range(5):
        Job.objects.exclude(kind="track").update(state="waiting", lease_until=None, run_at=Now())
        notices, creates = (
            [one for found in jobs.claim_lanes({lane: 100}, [kind]) for one in found.claims]
            for lane, kind in ((alice.settings.lane, notifying), (third.settings.lane, creating))
        )
        told = [(one, Outcome(Done(), Confirmed(1))) for one in reversed(notices)]
        created = [(one, Outcome(Done(), Observation(Source.CREATE))) for one in creates]
        results = at_once(partial(jobs.settle, told), partial(jobs.settle, created))
        assert errors(results) == []
        assert len(notices) == len(creates) == len(records)
