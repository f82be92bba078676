"""Create again: only if no earlier create can still take effect; otherwise the exact reason is given."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from providers.models import Provider
from tests.cast import job, now
from tests.operators.actions.steps import created, is_final, is_over, staff_events, unanswered, why_not
from tests.running import age, began, claim, facts, run
from tests.servers import Answer
from tests.webhooks import senders
from transactions.models import Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

HOUR = 3600.0


@pytest.fixture
def doubtful(record):
    """Its create got no answer an hour ago, and was given up."""
    unanswered(record, HOUR)
    return record


def test_a_doubtful_transaction_is_checked_and_created_again(press, doubtful, far):
    far.on("POST", Answer(200, {"status": "completed"}))

    assert press("create_again", doubtful.id) == ""
    run(job(doubtful, "create"))

    assert far.methods == ["GET", "POST"]
    assert facts(doubtful) == ("completed", "created", "")


def test_a_transaction_that_the_status_check_finds_is_not_created(press, doubtful, far):
    far.on("GET", Answer(200, {"status": "pending"}))
    press("create_again", doubtful.id)

    run(job(doubtful, "create"))

    assert (far.methods, now(doubtful).submission) == (["GET"], "created")


def test_a_final_webhook_before_the_create_prevents_it(press, doubtful, third, far):
    press("create_again", doubtful.id)

    senders.tell(third, doubtful.id, "pending")
    run(job(doubtful, "create"))

    assert far.asked == []


def test_the_create_job_waits_for_the_settle_window(press, doubtful, far):
    """If the action's own check is wrong, by a worker's clock for example, the rule of the create job holds."""
    press("create_again", doubtful.id)
    Transaction.objects.filter(pk=doubtful.id).update(create_began_at=Now())

    run(job(doubtful, "create"))

    assert far.methods == ["GET"]
    assert job(doubtful, "create").last_error == "not found, but the last create may still take effect"


def test_the_create_starts_with_all_its_retries(press, doubtful):
    Job.objects.filter(kind="create").update(tries=4, crashes=2)
    press("create_again", doubtful.id)

    again = job(doubtful, "create")
    assert (again.state, again.tries, again.crashes, again.claim_count) == ("waiting", 0, 0, 1)


def test_tracking_that_has_ended_restarts(press, doubtful):
    is_over(job(doubtful, "track"), "cancelled")

    press("create_again", doubtful.id)

    assert job(doubtful, "track").state == "waiting"


def test_active_tracking_is_unchanged(press, doubtful):
    before = job(doubtful, "track").run_at

    press("create_again", doubtful.id)

    assert job(doubtful, "track").run_at == before


def test_a_given_up_create_runs_again(press, record):
    is_over(job(record, "create"), "failed")
    began(record, HOUR, review="given_up")

    assert press("create_again", record.id) == ""

    assert now(record).review == ""
    assert job(record, "create").lost_at is not None  # a run of it may have begun a create that nobody recorded


def test_it_is_recorded(press, doubtful):
    press("create_again", doubtful.id, "third lost its data")

    [event] = staff_events(doubtful)
    assert (event["who"], event["why"], event["submission"]) == ("olga", "third lost its data", "unknown")


def test_it_needs_a_reason(press, doubtful):
    with pytest.raises(ValueError, match="create_again needs a reason"):
        press("create_again", doubtful.id, " ")


def test_pressing_twice_creates_once(press, doubtful):
    press("create_again", doubtful.id)

    assert press("create_again", doubtful.id) == "a create is scheduled: it runs now"
    assert len(staff_events(doubtful)) == 1


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


def test_it_is_refused_while_a_create_may_still_take_effect(record):
    is_over(job(record, "create"))
    began(record, 40)

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


CONFIRMED = "third has confirmed it: a second create could pay twice. Ask third, then set status"


@pytest.mark.parametrize("flag", ["", "missing", "overdue"])
def test_a_transaction_that_the_provider_has_confirmed_is_not_created_again(record, flag):
    created(record, HOUR)
    Transaction.objects.update(review=flag)

    assert why_not("create_again", record) == CONFIRMED


def test_a_pending_webhook_confirms_the_transaction(doubtful, third):
    senders.tell(third, doubtful.id, "pending")

    assert why_not("create_again", doubtful) == CONFIRMED


def test_an_old_transaction_is_tracked_after_it_is_created_again(press, doubtful, far):
    """Its polling had ended long ago; the end of polling is now counted from the new create."""
    age(doubtful, 30 * 24 * HOUR)
    began(doubtful, 29 * 24 * HOUR, seen_at=None)
    press("create_again", doubtful.id)
    far.on("POST", Answer(200, {"status": "pending"}))

    run(job(doubtful, "track"))
    run(job(doubtful, "create"))
    assert job(doubtful, "track").state == "waiting"
    far.on("GET", Answer(200, {"status": "pending"}))

    assert run(job(doubtful, "track")).state == "waiting"
