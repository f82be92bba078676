"""The handler `track`: the times of its polls, its waits and its end, and the effect of each answer."""

import asyncio
import threading

import pytest
from django.db.models.functions import Now

from providers.models import Provider
from providers.status import Status
from tests.cast import accepted, job, now
from tests.running import again, age, change, claim, perform, run, settle, tell, timeline, wait_of
from tests.servers import Answer
from tests.threads import at_once
from transactions.handlers.track import track
from transactions.models import Transaction
from transactions.observations import Observation
from transactions.status import Source, Submission
from transactions.work import PollSoon
from workers import jobs
from workers.models import Job
from workers.outbound import Http
from workers.outcomes import Again, Done, Outcome

pytestmark = pytest.mark.django_db

PENDING = Answer(200, {"status": "pending"})
DAY = 86400


@pytest.fixture
def tracking(record):
    """Return the job `track` of a transaction that was created."""
    Transaction.objects.filter(pk=record.id).update(submission="created")
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="done")
    return job(record, "track")


# --- when it polls


def test_the_first_poll_is_due_first_poll_after_acceptance(alice, third):
    change(third, first_poll=7.5)
    record = accepted(alice, third)

    assert (job(record, "track").run_at - record.created_at).total_seconds() == pytest.approx(7.5)


def test_it_waits_while_the_create_has_not_been_sent(record, far):
    assert run(job(record, "track")).state == "waiting"
    assert far.asked == []


def test_it_waits_while_a_create_runs(record, tracking, far):
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="waiting")
    claim(job(record, "create"))

    assert run(tracking).state == "waiting"
    assert far.asked == []


def test_it_waits_long_for_a_create_that_does_not_end(record):
    """The end of the create resumes polling; the long wait is for the case that this was lost."""
    assert wait_of(run(job(record, "track"))) == pytest.approx(600, abs=0.1)


def test_waiting_for_the_create_is_not_counted_as_a_poll(record):
    assert run(job(record, "track")).tries == 0


def test_it_polls_between_creates_with_an_unknown_outcome(record, tracking, far):
    Transaction.objects.filter(pk=record.id).update(submission="unknown")
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="waiting")
    far.on("GET", Answer(200, {"status": "completed"}))

    assert run(tracking).state == "done"
    assert now(record).status == "completed"


def test_delays_grow_from_second_poll_by_poll_growth_up_to_poll_cap(tracking, far, third):
    change(third, second_poll=0.5, poll_growth=3, poll_cap=20)
    far.on("GET", PENDING)

    waits = [wait_of(run(tracking)) for _ in range(6)]

    assert waits == pytest.approx([0.5, 1.5, 4.5, 13.5, 20, 20], abs=0.1)


def test_delays_stay_finite_after_very_many_polls(tracking, far, third):
    change(third, poll_growth=100)
    Job.objects.filter(pk=tracking.pk).update(tries=100_000)
    far.on("GET", PENDING)

    assert wait_of(run(tracking)) == pytest.approx(3600, abs=0.1)


def test_the_end_of_the_create_resumes_polling(record, far):
    tracking = job(record, "track")
    for _ in range(5):
        run(tracking)
    far.on("POST", Answer(201, {"status": "pending"}))

    run(job(record, "create"))

    assert wait_of(again(tracking)) < 0.5


def test_the_end_of_the_create_resumes_polling_that_has_just_found_it_running(record):
    """Both runs end in one batch: the poll must still notice the end of the create."""
    creating, tracking = claim(job(record, "create")), claim(job(record, "track"))
    parked = perform(tracking)
    created = Outcome(Done(), Observation(Source.CREATE, submission=Submission.CREATED), (PollSoon(0.01),))

    jobs.settle([(creating, created), (tracking, parked)])

    assert wait_of(job(record, "track")) < 1


def test_a_poll_that_settles_after_the_create_it_waits_for_continues(record):
    creating, tracking = claim(job(record, "create")), claim(job(record, "track"))
    parked = perform(tracking)
    settle(creating, Outcome(Done(), Observation(Source.CREATE, submission=Submission.CREATED), (PollSoon(0.01),)))

    wakes = settle(tracking, parked)

    assert wait_of(job(record, "track")) < 1
    assert any(wake.kind == "track" and wake.after < 1 for wake in wakes)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("run", range(5))
def test_polling_resumes_when_poll_and_create_settle_at_once(record, run):
    creating, tracking = claim(job(record, "create")), claim(job(record, "track"))
    parked = perform(tracking)
    created = Outcome(Done(), Observation(Source.CREATE, submission=Submission.UNKNOWN), (PollSoon(0.01),))

    at_once(lambda: settle(creating, created), lambda: settle(tracking, parked))

    assert wait_of(job(record, "track")) < 1


@pytest.mark.parametrize("end", [Answer(500), Answer(lost=True)])
def test_a_retry_whose_status_check_fails_resumes_polling(record, tracking, far, end):
    """Polling waited for a create that ended without an observation. Nothing else resumes it."""
    Transaction.objects.filter(pk=record.id).update(submission="unknown", create_began_at=Now())
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="waiting")
    creating = claim(job(record, "create"))
    run(tracking)
    far.on("GET", end)

    settle(creating, perform(creating))

    assert wait_of(again(tracking)) < 5


# --- what a poll's answer does


@pytest.mark.parametrize("word", ["completed", "declined", "failed"])
def test_it_applies_the_final_status_that_a_poll_finds(record, tracking, far, word):
    far.on("GET", Answer(200, {"status": word}))

    assert run(tracking).state == "done"
    assert now(record).status == word
    assert timeline(record)[-1] == ("status", word, 2, "poll")


@pytest.mark.parametrize(
    "answer", [PENDING, Answer(404), Answer(500), Answer(504), Answer(302), Answer(lost=True), Answer(200, cut=True)]
)
def test_it_continues_polling_after_an_answer_that_is_not_final(record, tracking, far, answer):
    far.on("GET", answer)

    found = run(tracking)

    assert (found.state, found.tries) == ("waiting", 1)
    assert now(record).status == "pending"


def test_a_late_404_does_not_fail_the_transaction(record, tracking):
    age(record, 2 * DAY)
    Transaction.objects.filter(pk=record.id).update(submission="unknown")

    run(tracking)

    assert now(record).status == "pending"


def test_a_poll_that_answers_pending_shows_that_it_was_created(record, tracking, far):
    Transaction.objects.filter(pk=record.id).update(submission="unknown")
    far.on("GET", PENDING)

    run(tracking)

    assert now(record).submission == "created"


def test_a_poll_flags_a_word_that_is_not_in_the_status_map(record, tracking, far):
    far.on("GET", Answer(200, {"status": "odd"}))

    assert run(tracking).state == "waiting"
    assert (now(record).status, now(record).review) == ("pending", "unmapped")


@pytest.mark.parametrize(("status", "review", "paused"), [(401, "credentials", True), (403, "denied", False)])
def test_refused_credentials_pause_the_provider_and_denied_access_does_not(
    record, tracking, far, third, status, review, paused
):
    far.on("GET", Answer(status))

    assert run(tracking).state == "waiting"
    assert Provider.objects.get(pk=third.provider.pk).paused == paused
    assert (now(record).status, now(record).review) == ("pending", review)


def test_it_waits_as_long_as_a_429_asks(tracking, far):
    far.on("GET", Answer(429, headers={"Retry-After": "17"}))

    assert 16.9 <= wait_of(run(tracking)) <= 17 * 1.25


def test_a_short_retry_after_does_not_speed_up_polling(tracking, far):
    Job.objects.filter(pk=tracking.pk).update(tries=30)
    far.on("GET", Answer(429, headers={"Retry-After": "1"}))

    assert wait_of(run(tracking)) == pytest.approx(3600, abs=0.1)


def test_each_error_doubles_the_delay(tracking, far):
    far.on("GET", Answer(500))
    waits = [wait_of(run(tracking)) for _ in range(5)]

    assert waits == pytest.approx([1, 2, 4, 8, 15], rel=0.25)


def test_an_error_after_many_polls_delays_the_next_poll_by_seconds(tracking, far):
    Job.objects.filter(pk=tracking.pk).update(tries=8)
    far.on("GET", Answer(500))

    assert 10 < wait_of(run(tracking)) < 20


def test_each_refused_connection_increases_the_delay(tracking, third):
    change(third, base_url="http://127.0.0.1:1")
    waits = [wait_of(run(tracking)) for _ in range(5)]

    assert waits == pytest.approx([0.5, 1, 2, 4, 8], rel=0.25)


# --- the race with others


def test_the_status_of_a_webhook_during_a_poll_stays(record, tracking, far):
    claimed = claim(tracking)
    tell(record, "completed")

    settle(claimed, Outcome(Again(0.01, 1), Observation(Source.POLL, submission=Submission.CREATED)))

    assert now(record).status == "completed"
    assert run(tracking).state == "done"
    assert far.asked == []


def test_a_poll_that_contradicts_a_webhook_received_meanwhile_is_flagged(record, tracking):
    claimed = claim(tracking)
    tell(record, "completed")

    settle(claimed, Outcome(Done(), Observation(Source.POLL, status=Status.DECLINED)))

    assert (now(record).status, now(record).review) == ("completed", "contradiction")


def test_a_webhook_cancels_the_polls(record, tracking):
    tell(record, "declined")

    assert again(tracking).state == "cancelled"


# --- when it stops


def test_it_flags_for_review_after_track_for_and_continues_polling(record, tracking, far):
    age(record, DAY + 1)
    far.on("GET", PENDING)

    assert run(tracking).state == "waiting"
    assert (now(record).status, now(record).review) == ("pending", "overdue")
    assert timeline(record)[-1][0] == "review"


@pytest.mark.parametrize("answer", [Answer(404), Answer(500)])
def test_it_flags_after_a_404_and_after_an_error(record, tracking, far, answer):
    age(record, DAY + 1)
    far.on("GET", answer)

    run(tracking)

    assert now(record).review == "overdue"


def test_it_flags_a_transaction_that_was_never_sent(record):
    age(record, DAY + 1)

    run(job(record, "track"))

    assert now(record).review == "overdue"


def test_it_flags_once(record, tracking, far):
    age(record, DAY + 1)
    far.on("GET", PENDING)
    run(tracking)

    run(tracking)

    assert [kind for kind, *_ in timeline(record)] == ["status", "review"]


def test_it_does_not_flag_before_track_for(record, tracking, far):
    age(record, DAY - 5)
    far.on("GET", PENDING)

    run(tracking)

    assert now(record).review == ""


@pytest.mark.parametrize("answers", [[Answer(500)], [Answer(404)], [PENDING], [Answer(500), Answer(404)]])
def test_a_poll_after_a_failed_one_flags_as_overdue_too(record, tracking, far, answers):
    far.on("GET", Answer(500), *answers)
    run(tracking)
    age(record, DAY + 1)

    for _ in answers:
        run(tracking)

    assert now(record).review == "overdue"


@pytest.mark.parametrize("answer", [PENDING, Answer(404), Answer(500), Answer(429), Answer(lost=True)])
def test_it_ends_after_track_grace(record, tracking, far, answer):
    age(record, 8 * DAY + 1)
    far.on("GET", answer)

    assert run(tracking).state == "done"
    assert (now(record).status, now(record).review) == ("pending", "overdue")


def test_a_final_transaction_is_not_polled(record, tracking, far):
    Transaction.objects.filter(pk=record.id).update(status="completed", finalised_at=Now())

    assert run(tracking).state == "done"
    assert far.asked == []


def test_the_handler_needs_no_database(tracking, far):
    """The handler runs on another thread, which cannot see the data of this test's database transaction."""
    far.on("GET", Answer(200, {"status": "completed"}))
    seen, outcomes = jobs.load([claim(tracking)])[tracking.pk], []

    async def called(work):
        async with Http(["127.0.0.1"]) as http:
            return await track(work, http)

    thread = threading.Thread(target=lambda: outcomes.append(asyncio.run(called(seen))))
    thread.start()
    thread.join()

    assert outcomes[0].result.status == "completed"
