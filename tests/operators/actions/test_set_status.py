"""Set status: replaces pending or a contradicted status, and notifies the client once."""

from functools import partial

import pytest
from django.db.models.functions import Now

from operators.actions.outcomes import MOVED
from operators.actions.table import ACTIONS
from providers.status import FINAL, Status
from tests.cast import job, now
from tests.operators.actions.steps import created, staff_events, why_not
from tests.races.amid import amid, second
from tests.running import claim, facts, run, tell, timeline
from tests.servers import Answer
from tests.threads import aside, at_once
from transactions.models import Event
from transactions.observations import Observation
from transactions.status import Source
from transactions.store import apply
from workers import jobs, kinds
from workers.lanes import Lane
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def set_status(press, record):
    def go(status="completed", sequence=None, **given):
        seen = now(record).sequence if sequence is None else sequence
        return press("set_status", record.id, "third said so by phone", status=status, sequence=seen, **given)

    return go


@pytest.fixture
def contradicted(record):
    """A declined transaction that the provider then reported as completed."""
    created(record, 300)
    tell(record, "declined")
    tell(record, "completed")
    return record


@pytest.mark.parametrize("status", FINAL)
def test_a_pending_transaction_becomes_final(set_status, record, status):
    created(record, 300)

    assert set_status(status) == ""

    row = now(record)
    assert (row.status, row.sequence, row.submission) == (status, 2, "created")
    assert row.finalised_at is not None
    assert timeline(record)[1:] == [("staff", "", None, "staff"), ("status", status, 2, "staff")]


def test_waiting_jobs_are_cancelled_and_the_client_is_notified(set_status, record, endpoint):
    set_status()

    states = dict(Job.objects.filter(transaction_id=record.id).values_list("kind", "state"))
    assert (states["create"], states["track"]) == ("cancelled", "cancelled")
    run(job(record, "notify", "seq:2"))
    assert endpoint.asked[0].json["data"]["status"] == "completed"


@pytest.mark.parametrize("status", ["failed", "declined"])
def test_the_client_is_not_told_the_reason(set_status, record, endpoint, status):
    set_status(status)
    run(job(record, "notify", "seq:2"))

    [asked] = endpoint.asked
    assert asked.json["data"]["failure"] == {"code": "set_by_staff", "detail": "an operator has set the status"}
    assert b"by phone" not in asked.body


def test_it_is_recorded(set_status, record):
    set_status("failed")

    assert staff_events(record) == [
        {"who": "olga", "what": "set the status to failed", "why": "third said so by phone", "was": "pending"}
    ]


def test_it_resolves_a_contradiction(set_status, contradicted):
    assert set_status("completed") == ""

    row = now(contradicted)
    assert (row.status, row.sequence, row.review) == ("completed", 3, "")
    assert timeline(contradicted)[-1] == ("status", "completed", 3, "staff")


def test_the_failure_of_the_previous_status_is_removed(set_status, record):
    created(record, 300)
    failed = Observation(
        Source.POLL, status=Status.FAILED, failure_code="failed_at_provider", failure_detail="it says so"
    )
    apply([(record.id, failed)])
    tell(record, "completed")

    set_status("completed")

    assert (now(record).failure_code, now(record).failure_detail) == ("", "")


def test_a_contradiction_after_it_is_flagged_again(set_status, contradicted):
    set_status("completed")

    tell(contradicted, "declined")

    assert facts(contradicted) == ("completed", "created", "contradiction")


def test_the_same_status_after_it_changes_nothing(set_status, contradicted):
    set_status("completed")

    tell(contradicted, "completed")

    assert facts(contradicted) == ("completed", "created", "")


@pytest.mark.parametrize(("flag", "left"), [("overdue", ""), ("credentials", ""), ("unmapped", "unmapped")])
def test_it_removes_the_flags_that_a_final_status_settles(set_status, record, flag, left):
    type(now(record)).objects.update(review=flag)

    set_status()

    assert now(record).review == left


# --- why not


def test_a_final_status_without_a_contradiction_stays(set_status, record):
    tell(record, "declined")

    assert set_status("completed") == "the status is final (declined), and nothing contradicts it"
    assert facts(record) == ("declined", "unsent", "")


@pytest.mark.parametrize("status", ["pending", "declined"])
def test_only_a_different_final_status_can_be_set(set_status, contradicted, status):
    assert set_status(status) == f"{status} is not a different final status: choose another one"
    assert now(contradicted).sequence == 2


def test_a_status_that_changed_since_the_form_was_made_stays(set_status, record):
    tell(record, "declined")
    tell(record, "completed")

    assert set_status("completed", sequence=1) == MOVED
    assert now(record).status == "declined"


def test_it_is_refused_while_a_create_is_running(set_status, record):
    claim(job(record, "create"))

    assert set_status("failed") == "a create is running: try again in a moment"
    assert (now(record).status, staff_events(record)) == ("pending", [])


# --- at once


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_have_one_effect(set_status, otto, record):
    done = at_once(partial(set_status, "completed"), partial(set_status, "failed", by=otto))

    assert sorted(map(bool, done)) == [False, True]
    assert (now(record).sequence, Job.objects.filter(key="seq:2").count(), len(staff_events(record))) == (2, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_webhook_just_before_it_wins(set_status, record):
    first = Observation(Source.WEBHOOK, status=Status.DECLINED)

    told = second(partial(set_status, "completed", sequence=1), ours=partial(apply, [(record.id, first)]))

    assert told == "the status is final (declined), and nothing contradicts it"
    assert now(record).status == "declined"


@pytest.mark.django_db(transaction=True)
def test_a_running_poll_with_another_status_is_flagged(set_status, record, far):
    created(record, 300)
    with amid(job(record, "track"), far, "GET", Answer(200, {"status": "declined"})):
        assert set_status("completed") == ""

    assert facts(record) == ("completed", "created", "contradiction")
    assert Event.objects.filter(kind="contradiction", status="declined").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_waiting_create_cannot_start_meanwhile(set_status, record, far, monkeypatch):
    """A worker that claims it at that moment skips the locked row or finds it cancelled."""
    lane, taken = Lane(job(record, "create").lane), []

    def overtaken(news):
        taken.extend(aside(lambda: jobs.claim_lanes({lane: 9}, [kinds.kind_of("create")]))[0].claims)
        return apply(news)

    monkeypatch.setattr("operators.actions.outcomes.apply", overtaken)
    assert set_status("failed") == ""

    assert (taken, job(record, "create").state, far.asked) == ([], "cancelled", [])


def test_the_explanation_says_what_is_known_of_the_provider(record):
    assert "will not be sent" in ACTIONS["set_status"].explain(now(record))
    created(record, 300)
    assert "third has the transaction" in ACTIONS["set_status"].explain(now(record))
    assert why_not("set_status", record) == ""


def test_the_explanation_says_that_a_lost_worker_may_have_created_it(record):
    """The transaction records no create then; only its job does."""
    Job.objects.filter(transaction_id=record.id, kind="create").update(claim_count=1, lost_at=Now())

    said = ACTIONS["set_status"].explain(now(record))

    assert "third may have the transaction" in said and "not sent yet" not in said
