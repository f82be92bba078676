"""Review flags are removed by an operator, or when their cause is gone."""

import pytest

from operators.actions.table import ACTIONS
from tests.cast import job, now
from tests.operators.actions.steps import created, staff_events
from tests.operators.pages.conftest import give_up
from tests.running import facts, run, tell, timeline
from tests.servers import Answer
from transactions.models import Event, Transaction
from transactions.notifications import notify_again
from transactions.status import Review
from transactions.store import find
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def not_notified(record):
    """A completed transaction whose notification was given up."""
    created(record, 300)
    tell(record, "completed")
    give_up(record, "notify", key="seq:2")
    return record


@pytest.mark.parametrize("flag", Review.values)
def test_every_flag_is_removed_with_a_reason(press, record, flag):
    Transaction.objects.update(review=flag)

    assert press("resolve_review", record.id, "third confirmed it") == ""

    assert facts(record) == ("pending", "unsent", "")
    assert staff_events(record) == [{"who": "olga", "what": "resolved the review", "why": "third confirmed it"}]
    told = Event.objects.get(kind="review", source="staff").detail
    assert told == {"who": "olga", "why": "third confirmed it", "review": "", "was": flag}


def test_it_needs_a_reason(press, record):
    Transaction.objects.update(review="overdue")

    with pytest.raises(ValueError, match="reason"):
        press("resolve_review", record.id, "")


def test_it_is_refused_the_second_time(press, record):
    Transaction.objects.update(review="overdue")
    press("resolve_review", record.id)

    assert press("resolve_review", record.id) == "it is not flagged for review"
    assert len(staff_events(record)) == 1


@pytest.mark.parametrize(
    ("flag", "what"),
    [
        ("overdue", "The next poll without a final status flags it again, unless tracking is cancelled"),
        ("unmapped", "The next status that is not in status_map flags it again"),
        ("unreadable", "The next status check whose answer has no status flags it again"),
        ("missing", "The next status check that does not find it flags it again"),
        ("denied", "The next answer 403 flags it again"),
        ("stalled", "It is flagged again unless a call succeeds first"),
    ],
)
def test_the_explanation_says_what_flags_it_again(record, flag, what):
    Transaction.objects.update(review=flag)

    assert what in ACTIONS["resolve_review"].explain(now(record))


# --- given up


def test_a_notification_delivered_after_a_retry_removes_the_flag(press, not_notified):
    press("retry", job(not_notified, "notify", "seq:2").pk)
    assert now(not_notified).review == "given_up"

    run(job(not_notified, "notify", "seq:2"))

    assert (now(not_notified).review, now(not_notified).notified_sequence) == ("", 2)
    assert timeline(not_notified)[-1] == ("review", "", None, "clock")


def test_a_later_delivered_notification_cancels_the_given_up_one(not_notified):
    schedule_notification(not_notified)
    run(Job.objects.get(key__startswith="again:"))

    assert (now(not_notified).review, job(not_notified, "notify", "seq:2").state) == ("", "cancelled")


def test_a_repeated_status_removes_the_flag_that_was_set_after_it(record):
    created(record, 300)
    tell(record, "completed")
    run(job(record, "notify", "seq:2"))
    schedule_notification(record)
    give_up(record, "notify", key=Job.objects.get(key__startswith="again:").key)

    schedule_notification(record)
    run(Job.objects.get(key__startswith="again:", state="waiting"))

    assert now(record).review == ""


def test_a_failed_delivery_keeps_the_flag(not_notified, endpoint):
    endpoint.on("POST", Answer(500))
    schedule_notification(not_notified)
    run(Job.objects.get(key__startswith="again:"))

    assert now(not_notified).review == "given_up"


def test_another_given_up_job_keeps_the_flag(record):
    give_up(record, "create")

    run(job(record, "notify"))

    assert now(record).review == "given_up"


def test_another_flag_stays(not_notified):
    Transaction.objects.update(review="contradiction")
    schedule_notification(not_notified)
    run(Job.objects.get(key__startswith="again:"))

    assert now(not_notified).review == "contradiction"


def schedule_notification(record):
    """Let the client request another notification."""
    found = find(client_id=record.client_id, client_ref=record.client_ref)
    assert found is not None
    notify_again(found)
