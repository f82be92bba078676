"""Cancel tracking: polling ends, and nothing else changes."""

import pytest

from tests.cast import job, now
from tests.operators.actions.steps import created, is_final, is_over, staff_events, why_not
from tests.running import again, claim, facts, run
from tests.servers import Answer
from tests.webhooks import senders

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_polling_ends_and_the_status_is_unchanged(press, record):
    created(record, 300)

    assert press("cancel_tracking", record.id, "third asked us to") == ""

    assert (job(record, "track").state, job(record, "track").last_error) == ("cancelled", "cancelled by staff")
    assert facts(record) == ("pending", "created", "")
    assert staff_events(record) == [{"who": "olga", "what": "cancelled the tracking", "why": "third asked us to"}]


def test_a_waiting_create_still_runs(press, record, far):
    far.on("POST", Answer(200, {"status": "pending"}))
    press("cancel_tracking", record.id)

    run(job(record, "create"))

    assert (now(record).submission, job(record, "track").state) == ("created", "cancelled")


def test_a_webhook_still_sets_the_status(press, record, third):
    created(record, 300)
    press("cancel_tracking", record.id)

    senders.tell(third, record.id, "completed")

    assert now(record).status == "completed"


def test_poll_now_restarts_tracking(press, record):
    created(record, 300)
    press("cancel_tracking", record.id)

    assert press("poll_now", record.id) == ""
    assert job(record, "track").state == "waiting"


def test_it_needs_a_reason(press, record):
    with pytest.raises(ValueError, match="reason"):
        press("cancel_tracking", record.id, "")


def test_it_is_refused_while_a_poll_is_running(press, record):
    created(record, 300)
    claimed = claim(job(record, "track"))

    assert press("cancel_tracking", record.id) == "a poll is running: try again in a moment"
    assert again(job(record, "track")).claim_count == claimed.claim_count


def test_it_is_refused_when_a_worker_claims_the_poll_meanwhile(press, record, monkeypatch):
    created(record, 300)
    monkeypatch.setattr("operators.actions.jobs.cancel", lambda **given: False)

    assert "a worker has just claimed the job" in press("cancel_tracking", record.id)
    assert staff_events(record) == []


def test_it_is_refused_the_second_time(press, record):
    created(record, 300)
    press("cancel_tracking", record.id)

    assert press("cancel_tracking", record.id) == "tracking has ended already"
    assert len(staff_events(record)) == 1


def test_it_is_refused_for_a_final_transaction(record):
    is_final(record, "completed")

    assert why_not("cancel_tracking", record) == "the status is final (completed): tracking has ended"


def test_it_is_refused_when_tracking_has_ended(record):
    created(record, 300)
    is_over(job(record, "track"))

    assert why_not("cancel_tracking", record) == "tracking has ended already"
