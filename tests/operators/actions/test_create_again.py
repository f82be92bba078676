"""Create again: only where nothing can still take effect; else it says exactly why not."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from providers.models import Provider
from tests.cast import job, now
from tests.operators.actions.steps import created, is_final, is_over, polled, staff_events, why_not
from tests.running import age, began, claim, facts, run
from tests.servers import Answer
from tests.webhooks import senders
from transactions.models import Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

HOUR = 3600.0


@pytest.fixture
def vanished(record):
    """Its provider had it, and answered a poll a minute ago that it has not."""
    created(record, HOUR)
    polled(record, 404, 60)
    return record


def test_one_that_vanished_is_looked_for_and_created_again(press, vanished, far):
    far.on("POST", Answer(200, {"status": "completed"}))

    assert press("create_again", vanished.id) == ""
    assert now(vanished).submission == "unknown"
    run(job(vanished, "create"))

    assert far.methods == ["GET", "POST"]
    assert facts(vanished) == ("completed", "created", "")


def test_one_that_is_there_after_all_is_not_created(press, vanished, far):
    far.on("GET", Answer(200, {"status": "pending"}))
    press("create_again", vanished.id)

    run(job(vanished, "create"))

    assert (far.methods, now(vanished).submission) == (["GET"], "created")


def test_a_webhook_amidst_stops_it(press, vanished, third, far):
    press("create_again", vanished.id)

    senders.tell(third, vanished.id, "pending")
    run(job(vanished, "create"))

    assert far.asked == []


def test_the_create_itself_waits_for_the_window_after_it_was_seen(press, vanished, far):
    """If the action's own check is wrong, by a worker's clock for example, the rule of the create job holds."""
    press("create_again", vanished.id)
    Transaction.objects.filter(pk=vanished.id).update(create_began_at=Now())

    run(job(vanished, "create"))

    assert far.methods == ["GET"]
    assert job(vanished, "create").last_error == "not found, but the last create may still take effect"


def test_what_it_was_last_seen_with_counts_as_a_create(press, vanished):
    seen = Now() - timedelta(seconds=1800)
    Transaction.objects.filter(pk=vanished.id).update(seen_at=seen)

    assert press("create_again", vanished.id) == ""

    row = now(vanished)
    assert row.create_began_at == row.seen_at


def test_it_begins_with_all_its_retries(press, vanished):
    Job.objects.filter(kind="create").update(tries=4, crashes=2)
    press("create_again", vanished.id)

    again = job(vanished, "create")
    assert (again.state, again.tries, again.crashes, again.claim_count) == ("waiting", 0, 0, 1)


def test_tracking_that_has_ended_is_taken_up_with_it(press, vanished):
    is_over(job(vanished, "track"), "cancelled")

    press("create_again", vanished.id)

    assert job(vanished, "track").state == "waiting"


def test_tracking_that_goes_on_is_left_alone(press, vanished):
    before = job(vanished, "track").run_at

    press("create_again", vanished.id)

    assert job(vanished, "track").run_at == before


def test_a_create_that_was_given_up_is_taken_up_again(press, record):
    is_over(job(record, "create"), "failed")
    began(record, HOUR, review="given_up")

    assert press("create_again", record.id) == ""

    assert now(record).review == ""
    assert job(record, "create").lost_at is not None  # a run of it may have begun a create that nobody recorded


def test_it_is_on_the_record(press, vanished):
    press("create_again", vanished.id, "third lost its data")

    [event] = staff_events(vanished)
    assert (event["who"], event["why"], event["submission"]) == ("olga", "third lost its data", "created")


def test_it_needs_a_reason(press, vanished):
    with pytest.raises(ValueError, match="create_again needs a reason"):
        press("create_again", vanished.id, " ")


def test_pressing_twice_creates_once(press, vanished):
    press("create_again", vanished.id)

    assert press("create_again", vanished.id) == "a create is scheduled: it runs now"
    assert len(staff_events(vanished)) == 1


# --- why not


def test_a_final_one_is_not_created(record):
    is_final(record, "failed")

    assert why_not("create_again", record) == "the status is final (failed): there is nothing to create"


def test_a_refused_one_is_not_created(record):
    Transaction.objects.update(submission="refused")

    assert why_not("create_again", record) == "third has refused it"


def test_a_create_under_way_is_waited_for(record):
    claim(job(record, "create"))

    assert why_not("create_again", record) == "a create is running"


def test_a_create_that_waits_is_waited_for(record):
    Job.objects.filter(kind="create").update(run_at=Now() + timedelta(seconds=80))
    assert why_not("create_again", record) == "a create is scheduled: it runs in 80 s"

    Provider.objects.update(paused=True)
    assert why_not("create_again", record).endswith(", as soon as third is resumed")


@pytest.mark.parametrize("fields", [{}, {"submission": "created"}])
def test_a_create_that_may_still_take_effect_is_waited_for(record, fields):
    is_over(job(record, "create"))
    began(record, 40, **fields)

    assert why_not("create_again", record) == "a create began 40 s ago and may still take effect: try again in 80 s"


def test_a_lost_run_counts_to_the_end_of_its_lease(record):
    is_over(job(record, "create"), lost_at=Now() - timedelta(seconds=40))
    began(record, HOUR)

    assert "40 s ago and may still take effect: try again in 80 s" in why_not("create_again", record)


def test_a_create_that_was_given_up_just_now_may_have_begun_just_now(record):
    is_over(job(record, "create"), "failed")
    Job.objects.filter(kind="create").update(updated_at=Now() - timedelta(seconds=40))
    began(record, HOUR)

    assert "40 s ago and may still take effect: try again in 80 s" in why_not("create_again", record)


def test_one_that_was_seen_just_now_is_not_created(vanished):
    Transaction.objects.update(seen_at=Now() - timedelta(seconds=40))
    polled(vanished, 404, 10)

    assert why_not("create_again", vanished) == "the provider reported the transaction 40 s ago: try again in 80 s"


def test_one_that_was_not_looked_for_since_it_was_seen_is_not_created(vanished):
    Transaction.objects.update(seen_at=Now() - timedelta(seconds=50))
    Provider.objects.update(settle_window=10)

    assert "was not polled since: use Poll now first" in why_not("create_again", vanished)


def test_one_that_was_never_looked_for_is_not_created(record):
    created(record, HOUR)

    assert "was not polled since: use Poll now first" in why_not("create_again", record)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (200, "third may have it: it answered the newest poll, 10 s ago, with 200"),
        (503, "third may have it: it answered the newest poll, 10 s ago, with 503"),
        (None, "third has reported the transaction, and the newest poll, 10 s ago, got no response"),
    ],
)
def test_only_the_newest_look_counts(vanished, answer, why):
    polled(vanished, answer, 10)

    assert why_not("create_again", vanished) == why


def test_a_webhook_that_says_pending_is_a_sign_of_life(vanished, third):
    senders.tell(third, vanished.id, "pending")

    assert "the provider reported the transaction" in why_not("create_again", vanished)


def test_an_old_one_is_tracked_once_it_is_created_again(press, vanished, far):
    """It was accepted so long ago that polling had ended; its end is counted from the new create."""
    age(vanished, 30 * 24 * HOUR)
    began(vanished, 29 * 24 * HOUR, submission="created", seen_at=Now() - timedelta(days=20))
    press("create_again", vanished.id)
    far.on("POST", Answer(200, {"status": "pending"}))

    run(job(vanished, "track"))
    run(job(vanished, "create"))
    assert job(vanished, "track").state == "waiting"
    far.on("GET", Answer(200, {"status": "pending"}))

    assert run(job(vanished, "track")).state == "waiting"
