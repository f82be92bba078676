"""Retry: needs a reason, runs once, is recorded, and never creates a transaction twice."""

import contextlib
import threading
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.functions import Now

from operators.actions.jobs import CREATED_ALREADY, FINAL_ALREADY, NOT_FAILED
from operators.actions.table import ACTIONS
from providers.models import Provider
from providers.status import Status
from tests.cast import job, now
from tests.operators.actions.steps import staff_events
from tests.operators.pages.conftest import give_up
from tests.threads import aside, at_once
from transactions.models import Event, Transaction
from transactions.observations import Observation
from transactions.status import Source, Submission
from transactions.store import apply
from transactions.work import load
from workers import jobs
from workers.models import Job
from workers.operations import requeue
from workers.outcomes import Wake

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
retry_job = ACTIONS["retry"].run


@pytest.fixture
def given_up(record):
    """A transaction whose create was given up and that is flagged for review."""
    give_up(record, "create", "its worker was lost 5 times in a row while it ran")
    return record


def test_the_job_is_due_now_and_its_schedule_restarts(press, given_up):
    Job.objects.filter(kind="create").update(tries=4, crashes=5)

    press("retry", job(given_up, "create").pk)

    again = job(given_up, "create")
    assert (again.state, again.tries, again.crashes, again.claim_count) == ("waiting", 0, 0, 1)
    assert again.run_at >= again.created_at


def test_it_is_recorded_with_who_what_and_why(press, given_up):
    failed = job(given_up, "create")

    press("retry", failed.pk, "the provider is back")

    [event] = staff_events(given_up)
    assert event == {"who": "olga", "what": "retried the job create", "why": "the provider is back", "job": failed.pk,
                    "error": failed.last_error}  # fmt: skip
    logged = LogEntry.objects.get(object_id=failed.pk)
    assert logged.get_change_message() == "Retried the job create: the provider is back"


def test_running_it_without_a_reason_raises(olga, given_up):
    with pytest.raises(ValueError, match="reason"):
        retry_job(pk=job(given_up, "create").pk, by=olga, reason=" ")


def test_pressing_twice_has_no_further_effect(press, given_up):
    press("retry", job(given_up, "create").pk)

    assert press("retry", job(given_up, "create").pk) == NOT_FAILED
    assert len(staff_events(given_up)) == LogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_have_one_effect(press, olga, otto, given_up):
    both = [partial(press, "retry", job(given_up, "create").pk, by=by) for by in (olga, otto)]

    assert sorted(at_once(*both)) == ["", NOT_FAILED]
    assert len(staff_events(given_up)) == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_who_retry_both_jobs_at_once_remove_the_flag(olga, given_up, monkeypatch):
    both, meet = (job(given_up, "create").pk, give_up(given_up, "track").pk), threading.Barrier(2)

    def revive_together(**given):
        wake = requeue(**given)
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(timeout=0.5)
        return wake

    monkeypatch.setattr("operators.actions.jobs.requeue", revive_together)
    done = at_once(*[partial(retry_job, pk=one, by=olga, reason="both of us") for one in both])

    assert done == ["", ""]
    assert now(given_up).review == ""


@pytest.mark.django_db(transaction=True)
def test_a_flag_that_is_set_meanwhile_stays(olga, given_up, monkeypatch):
    said = [Observation(Source.WEBHOOK, status=Status.COMPLETED), Observation(Source.POLL, status=Status.DECLINED)]
    webhook = threading.Thread(target=partial(aside, lambda: apply([(given_up.id, news) for news in said])))

    def overtaken(**given):
        webhook.start()
        webhook.join(timeout=0.5)  # it waits for the lock that we hold
        return requeue(**given)

    monkeypatch.setattr("operators.actions.jobs.requeue", overtaken)
    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")
    webhook.join()

    assert now(given_up).review == "contradiction"


def test_a_retried_job_of_a_final_transaction_has_no_effect(olga, given_up):
    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")
    Transaction.objects.update(status="completed", finalised_at=Now())

    claim = jobs.claim_one(job(given_up, "create"))

    assert claim is not None and load([claim]) == {}


def test_a_final_transactions_create_is_not_retried(olga, given_up):
    apply([(given_up.id, Observation(Source.WEBHOOK, status=Status.COMPLETED))])

    assert retry_job(pk=job(given_up, "create").pk, by=olga, reason="why not") == FINAL_ALREADY
    assert job(given_up, "create").state == "failed"


def test_a_transaction_that_the_provider_has_is_not_created_again(olga, given_up):
    apply([(given_up.id, Observation(Source.POLL, submission=Submission.CREATED))])

    assert retry_job(pk=job(given_up, "create").pk, by=olga, reason="why not") == CREATED_ALREADY


def test_a_notification_of_a_final_transaction_can_be_retried(olga, record):
    apply([(record.id, Observation(Source.WEBHOOK, status=Status.COMPLETED))])
    failed = give_up(record, "notify", key="seq:2")

    assert retry_job(pk=failed.pk, by=olga, reason="the endpoint is back") == ""


def test_a_retried_create_knows_that_an_earlier_one_may_have_begun(olga, given_up):
    failed_at = job(given_up, "create").updated_at

    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")

    claim = jobs.claim_one(job(given_up, "create"))
    assert claim is not None and claim.claim_count == 2  # so it looks before it creates
    assert load([claim])[claim.id].create_began_at == failed_at  # and waits for the settle window after that


def test_it_removes_the_flag_that_the_job_had_set(olga, given_up):
    assert now(given_up).review == "given_up"

    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")

    assert now(given_up).review == ""
    assert Event.objects.filter(kind="review", source="staff", detail__review="", detail__who="olga").count() == 1


def test_the_flag_stays_while_another_job_is_given_up(olga, given_up):
    give_up(given_up, "track")

    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")

    assert now(given_up).review == "given_up"


def test_another_flag_stays(olga, given_up):
    Transaction.objects.update(review="overdue")

    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")

    assert now(given_up).review == "overdue"


def test_it_wakes_the_lane_after_the_commit(olga, given_up, monkeypatch):
    woken: list[Wake] = []
    monkeypatch.setattr("operators.actions.action.announce", woken.extend)

    retry_job(pk=job(given_up, "create").pk, by=olga, reason="again")

    assert [(wake.kind, wake.lane) for wake in woken] == [("create", job(given_up, "create").lane)]


def test_the_explanation_says_what_happens_and_what_it_waits_for(given_up):
    says = ACTIONS["retry"].explain(job(given_up, "create"))
    assert says.startswith("It was given up: its worker was lost 5 times in a row while it ran.")
    assert "no earlier than 120 s after this job failed" in says

    Provider.objects.update(paused=True)
    assert "as soon as third is resumed" in ACTIONS["retry"].explain(job(given_up, "create"))
