"""The handler `create`, if a run was lost, overtaken by a webhook, or too late."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from tests.cast import job, now
from tests.running import again, began, change, claim, expire, facts, perform, run, settle, tell, timeline, wait_of
from tests.servers import Answer
from tests.threads import await_sessions_end
from transactions.models import Transaction
from workers import jobs
from workers.models import Job, OutboundCall, RateLimit
from workers.outcomes import Again, Done, NoResult, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

LOST = Answer(lost=True)


def test_a_lost_run_counts_as_a_create_that_may_have_begun(record, creating, far):
    claim(creating)
    expire(creating)
    jobs.recover()

    run(creating)

    assert far.methods == ["GET"]
    assert facts(record) == ("pending", "unknown", "")
    assert again(creating).run_at > again(creating).updated_at + timedelta(seconds=100)


def test_the_window_of_a_lost_run_counts_from_the_end_of_its_lease(record, creating, far):
    claim(creating)
    expire(creating, 119)
    jobs.recover()

    assert wait_of(run(creating)) == pytest.approx(1, abs=0.5)


def test_after_the_window_of_a_lost_run_it_creates(record, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    claim(creating)
    expire(creating, 121)
    jobs.recover()

    run(creating)

    assert facts(record) == ("completed", "created", "")


@pytest.mark.parametrize(("create_age", "lost_age"), [(500, 5), (5, 500)])
def test_the_later_of_a_lost_run_and_an_unknown_create_counts(record, creating, far, create_age, lost_age):
    began(record, create_age)
    claim(creating)
    expire(creating, lost_age)
    jobs.recover()

    run(creating)

    assert far.methods == ["GET"]


@pytest.mark.parametrize("look", [Answer(500), Answer(429), Answer(401), LOST])
def test_a_lost_run_is_kept_when_the_next_status_check_fails(record, creating, far, look):
    claim(creating)
    expire(creating)
    jobs.recover()
    far.on("GET", look)
    run(creating)
    far.on("GET", Answer(404))

    run(creating)

    assert far.of("POST") == []


def test_a_handed_back_run_counts_as_a_create_that_may_have_begun(record, creating, far):
    settle(claim(creating), NoResult("handed back by a stopping worker"))

    run(creating)

    assert far.methods == ["GET"]


def test_a_lost_run_that_did_create_is_found(record, creating, far):
    far.on("GET", Answer(200, {"status": "completed"}))
    claim(creating)
    expire(creating)
    jobs.recover()

    run(creating)

    assert facts(record) == ("completed", "created", "")
    assert far.methods == ["GET"]


def test_a_create_that_is_given_up_after_lost_runs_is_still_polled_for(record, creating, far, settings):
    """A lost run may have created it, so polling must not treat the transaction as unsent."""
    settings.MAX_CRASHES = 1
    claim(creating)
    expire(creating)
    jobs.recover()
    far.on("GET", Answer(200, {"status": "completed"}))

    run(job(record, "track"))

    assert again(creating).state == "failed"
    assert now(record).status == "completed"


@pytest.mark.django_db(transaction=True)
def test_a_create_that_waited_for_the_rate_limit_began_after_the_wait(record, creating, far, third):
    """The settle window begins when the request can be sent."""
    change(third, max_calls_per_second=2, check_before_create=False)
    RateLimit.objects.create(lane=third.provider.lane, next_free_at=Now() + timedelta(seconds=1))
    far.on("POST", Answer(504))

    run(creating)
    await_sessions_end()

    [attempt], began_at = OutboundCall.objects.all(), now(record).create_began_at
    assert began_at is not None
    assert began_at >= attempt.started_at - timedelta(seconds=0.2)


def test_it_begins_no_create_that_could_outlive_its_lease(record, creating, far):
    claimed = claim(creating)
    Job.objects.filter(pk=creating.pk).update(lease_until=Now() + timedelta(seconds=30))
    short = replace(claimed, lease_until=claimed.claimed_at + timedelta(seconds=30))

    outcome = perform(short)

    assert far.methods == ["GET"]
    assert isinstance(outcome.next, Again) and outcome.next.after > 0


def test_a_final_transaction_has_nothing_left_to_create(record, creating, far):
    Transaction.objects.filter(pk=record.id).update(status="completed", finalised_at=Now())

    assert run(creating).state == "done"
    assert far.asked == []


def test_an_answer_that_agrees_with_an_earlier_webhook_is_no_contradiction(record, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    claimed = claim(creating)
    outcome = perform(claimed)
    tell(record, "completed")

    settle(claimed, outcome)

    assert facts(record) == ("completed", "created", "")
    assert [kind for kind, *_ in timeline(record)] == ["status", "status"]


def test_a_webhook_during_the_create_wins_and_the_creates_answer_contradicts(record, creating, far):
    far.on("POST", Answer(201, {"status": "declined"}))
    claimed = claim(creating)
    outcome = perform(claimed)
    tell(record, "completed")

    settle(claimed, outcome)

    assert facts(record) == ("completed", "created", "contradiction")
    assert timeline(record)[-1] == ("contradiction", "declined", None, "create")


def test_an_outcome_without_an_observation_changes_nothing(record, creating):
    assert settle(claim(creating), Outcome(Done())) == []
    assert facts(record) == ("pending", "unsent", "")
