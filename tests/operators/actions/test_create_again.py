"""Create again: only if no earlier create can still take effect; otherwise the exact reason is given."""

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
    """The provider had the transaction, and answered a poll a minute ago that it does not exist."""
    created(record, HOUR)
    polled(record, 404, 60)
    return record


def test_a_vanished_transaction_is_checked_and_created_again(press, vanished, far):
    far.on("POST", Answer(200, {"status": "completed"}))

    assert press("create_again", vanished.id) == ""
    assert now(vanished).submission == "unknown"
    run(job(vanished, "create"))

    assert far.methods == ["GET", "POST"]
    assert facts(vanished) == ("completed", "created", "")


def test_a_transaction_that_the_status_check_finds_is_not_created(press, vanished, far):
    far.on("GET", Answer(200, {"status": "pending"}))
    press("create_again", vanished.id)

    run(job(vanished, "create"))

    assert (far.methods, now(vanished).submission) == (["GET"], "created")


def test_a_final_webhook_before_the_create_prevents_it(press, vanished, third, far):
    press("create_again", vanished.id)

    senders.tell(third, vanished.id, "pending")
    run(job(vanished, "create"))

    assert far.asked == []


def test_the_create_job_waits_for_the_settle_window_after_seen_at(press, vanished, far):
    """If the action's own check is wrong, by a worker's clock for example, the rule of the create job holds."""
    press("create_again", vanished.id)
    Transaction.objects.filter(pk=vanished.id).update(create_began_at=Now())

    run(job(vanished, "create"))

    assert far.methods == ["GET"]
    assert job(vanished, "create").last_error == "not found, but the last create may still take effect"


def test_seen_at_counts_as_the_start_of_the_last_create(press, vanished):
    seen = Now() - timedelta(seconds=1800)
    Transaction.objects.filter(pk=vanished.id).update(seen_at=seen)

    assert press("create_again", vanished.id) == ""

    row = now(vanished)
    assert row.create_began_at == row.seen_at


def test_the_create_starts_with_all_its_retries(press, vanished):
    Job.objects.filter(kind="create").update(tries=4, crashes=2)
    press("create_again", vanished.id)

    again = job(vanished, "create")
    assert (again.state, again.tries, again.crashes, again.claim_count) == ("waiting", 0, 0, 1)


def test_tracking_that_has_ended_restarts(press, vanished):
    is_over(job(vanished, "track"), "cancelled")

    press("create_again", vanished.id)

    assert job(vanished, "track").state == "waiting"


def test_active_tracking_is_unchanged(press, vanished):
    before = job(vanished, "track").run_at

    press("create_again", vanished.id)

    assert job(vanished, "track").run_at == before


def test_a_given_up_create_runs_again(press, record):
    is_over(job(record, "create"), "failed")
    began(record, HOUR, review="given_up")

    assert press("create_again", record.id) == ""

    assert now(record).review == ""
    assert job(record, "create").lost_at is not None  # a run of it may have begun a create that nobody recorded


def test_it_is_recorded(press, vanished):
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


def test_a_final_transaction_is_not_created(record):
    is_final(record, "failed")

    assert why_not("create_again", record) == "the status is final (failed): there is nothing to create"


def test_a_refused_transaction_is_not_created(record):
    Transaction.objects.update(submission="refused")

    assert why_not("create_again", record) == "third has refused it"


def test_it_is_refused_while_a_create_is_running(record):
    claim(job(record, "create"))

    assert why_not("create_again", record) == "a create is running"


def test_it_is_refused_while_a_create_is_scheduled(record):
    Job.objects.filter(kind="create").update(run_at=Now() + timedelta(seconds=80))
    assert why_not("create_again", record) == "a create is scheduled: it runs in 80 s"

    Provider.objects.update(paused=True)
    assert why_not("create_again", record).endswith(", as soon as third is resumed")


@pytest.mark.parametrize("fields", [{}, {"submission": "created"}])
def test_it_is_refused_while_a_create_may_still_take_effect(record, fields):
    is_over(job(record, "create"))
    began(record, 40, **fields)

    assert why_not("create_again", record) == "a create began 40 s ago and may still take effect: try again in 80 s"


def test_a_lost_run_counts_as_begun_at_the_end_of_its_lease(record):
    is_over(job(record, "create"), lost_at=Now() - timedelta(seconds=40))
    began(record, HOUR)

    assert "40 s ago and may still take effect: try again in 80 s" in why_not("create_again", record)


def test_a_given_up_create_counts_as_begun_at_its_end(record):
    is_over(job(record, "create"), "failed")
    Job.objects.filter(kind="create").update(updated_at=Now() - timedelta(seconds=40))
    began(record, HOUR)

    assert "40 s ago and may still take effect: try again in 80 s" in why_not("create_again", record)


def test_a_transaction_that_was_just_seen_is_not_created(vanished):
    Transaction.objects.update(seen_at=Now() - timedelta(seconds=40))
    polled(vanished, 404, 10)

    assert why_not("create_again", vanished) == "the provider reported the transaction 40 s ago: try again in 80 s"


def test_a_transaction_that_was_not_polled_since_it_was_seen_is_not_created(vanished):
    Transaction.objects.update(seen_at=Now() - timedelta(seconds=50))
    Provider.objects.update(settle_window=10)

    assert "was not polled since: use Poll now first" in why_not("create_again", vanished)


def test_a_created_transaction_that_was_never_polled_is_not_created(record):
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
def test_only_the_newest_poll_counts(vanished, answer, why):
    polled(vanished, answer, 10)

    assert why_not("create_again", vanished) == why


def test_a_pending_webhook_shows_that_the_provider_has_the_transaction(vanished, third):
    senders.tell(third, vanished.id, "pending")

    assert "the provider reported the transaction" in why_not("create_again", vanished)


def test_an_old_transaction_is_tracked_after_it_is_created_again(press, vanished, far):
    """Its polling had ended long ago; the end of polling is now counted from the new create."""
    age(vanished, 30 * 24 * HOUR)
    began(vanished, 29 * 24 * HOUR, submission="created", seen_at=Now() - timedelta(days=20))
    press("create_again", vanished.id)
    far.on("POST", Answer(200, {"status": "pending"}))

    run(job(vanished, "track"))
    run(job(vanished, "create"))
    assert job(vanished, "track").state == "waiting"
    far.on("GET", Answer(200, {"status": "pending"}))

    assert run(job(vanished, "track")).state == "waiting"
