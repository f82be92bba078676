"""Poll now: the next poll is due at once, and polling that has ended restarts."""

import pytest

from operators.actions.table import ACTIONS
from providers.models import Provider
from tests.cast import job, now
from tests.operators.actions.steps import created, is_final, is_over, staff_events, why_not
from tests.running import age, claim, run
from tests.servers import Answer
from transactions.models import Transaction
from workers.breaker import open_

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_the_waiting_poll_is_due_at_once_and_keeps_its_schedule(press, record):
    created(record, 300)

    assert press("poll_now", record.id) == ""

    track = job(record, "track")
    assert (track.state, track.tries) == ("waiting", 3)
    assert why_not("poll_now", record) == "a poll is due already"
    assert staff_events(record) == [{"who": "olga", "what": "requested a poll", "why": "because", "was": "waiting"}]


@pytest.mark.parametrize("state", ["done", "cancelled", "failed"])
def test_polling_that_has_ended_restarts(press, record, far, state):
    created(record, 300)
    is_over(job(record, "track"), state)
    far.on("GET", Answer(200, {"status": "completed"}))

    assert press("poll_now", record.id) == ""
    run(job(record, "track"))

    assert now(record).status == "completed"


def test_polling_that_ended_with_its_grace_polls_once(press, record, far):
    created(record, 30 * 86400)
    age(record, 30 * 86400)
    is_over(job(record, "track"))
    far.on("GET", Answer(200, {"status": "pending"}))
    press("poll_now", record.id)

    assert run(job(record, "track")).state == "done"
    assert far.methods == ["GET"]


def test_it_removes_the_flag_of_given_up_polling(press, record):
    created(record, 300)
    is_over(job(record, "track"), "failed")
    Transaction.objects.update(review="given_up")

    press("poll_now", record.id)

    assert now(record).review == ""


def test_a_final_transaction_is_not_polled(record):
    is_final(record, "declined")

    assert why_not("poll_now", record) == "the status is final (declined): there is nothing to poll for"


def test_it_is_refused_before_the_create(record):
    assert "it is not sent yet" in why_not("poll_now", record)


def test_it_is_refused_while_a_poll_is_running(press, record):
    created(record, 300)
    claim(job(record, "track"))

    assert press("poll_now", record.id) == "a poll is running"
    assert staff_events(record) == []


def test_it_is_refused_while_a_create_is_running(press, record):
    claim(job(record, "create"))
    Transaction.objects.update(submission="unknown")

    assert press("poll_now", record.id).startswith("a create is running")


def test_it_is_refused_when_a_worker_claims_the_poll_meanwhile(press, record, monkeypatch):
    created(record, 300)
    monkeypatch.setattr("operators.actions.jobs.reschedule", lambda job_id: None)

    assert "a worker has just claimed the job" in press("poll_now", record.id)
    assert staff_events(record) == []


def test_the_explanation_says_what_the_poll_waits_for(record, third):
    created(record, 300)
    Provider.objects.update(paused=True)
    assert "as soon as third is resumed" in ACTIONS["poll_now"].explain(now(record))

    Provider.objects.update(paused=False)
    open_(third.provider.lane, "track")
    assert "its circuit breaker is open" in ACTIONS["poll_now"].explain(now(record))
