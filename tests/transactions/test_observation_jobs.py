"""Observations: the jobs that they cancel, start and bring forward."""

import pytest

from providers.status import Status
from tests.cast import accepted, job
from tests.running import claim, run, wait_of
from transactions.observations import Observation
from transactions.status import Source, Submission
from transactions.store import apply
from transactions.work import PollSoon, poll_soon
from workers.models import Job
from workers.outcomes import Wake

pytestmark = pytest.mark.django_db


def tell(record, status="pending", source=Source.WEBHOOK, **fields):
    """Apply one piece of news; what it did."""
    [applied], _ = apply([(record.id, Observation(source, status=Status(status), **fields))])
    return applied


def test_a_final_status_cancels_what_waits(record):
    tell(record, "completed")

    assert {job(record, kind).state for kind in ("create", "track", "notify")} == {"cancelled"}


def test_a_final_status_leaves_alone_what_runs_or_has_ended(record):
    claim(job(record, "create"))
    Job.objects.filter(pk=job(record, "track").pk).update(state="failed")

    tell(record, "completed")

    assert (job(record, "create").state, job(record, "track").state) == ("running", "failed")


def test_it_cancels_nothing_of_other_transactions(alice, third, record):
    other = accepted(alice, third)

    tell(record, "completed")

    assert job(other, "create").state == "waiting"


def test_a_change_of_status_is_told_once(record, alice):
    _, wakes = apply([(record.id, Observation(Source.WEBHOOK, status=Status.COMPLETED))])
    tell(record, "completed")
    tell(record, "declined")

    told = Job.objects.get(transaction_id=record.id, kind="notify", state="waiting")
    assert (told.key, told.lane) == ("seq:2", alice.settings.lane)
    assert wakes == [Wake("notify", alice.settings.lane)]


def test_news_without_a_change_wakes_nobody(record):
    assert apply([(record.id, Observation(Source.WEBHOOK))])[1] == []


def hastened(record, after):
    return poll_soon([(record.id, PollSoon(after))])


@pytest.fixture
def parked(record):
    """A transaction whose poll waits for the create, which has ended with an unknown outcome."""
    run(job(record, "track"))
    tell(record, submission=Submission.UNKNOWN)
    return record


def test_hasten_brings_a_waiting_poll_forward_and_wakes_its_lane(parked, third):
    [wake] = hastened(parked, 1.5)

    assert (wake.kind, wake.lane, wake.after) == ("track", third.settings.lane, pytest.approx(1.5, abs=0.1))
    assert wait_of(job(parked, "track")) < 1.6


def test_hasten_never_puts_a_poll_off(parked):
    hastened(parked, 0.1)
    before = job(parked, "track").run_at
    hastened(parked, 500.0)

    assert job(parked, "track").run_at == before


def test_hasten_leaves_the_first_poll_at_its_time(record):
    tell(record, submission=Submission.CREATED)
    before = job(record, "track").run_at

    assert hastened(record, 0.0) == []
    assert job(record, "track").run_at == before


def test_hasten_waits_for_a_create_that_is_under_way(parked):
    claim(job(parked, "create"))

    assert hastened(parked, 0.0) == []


def test_hasten_waits_for_what_was_never_sent(record):
    run(job(record, "track"))

    assert hastened(record, 0.0) == []


def test_hasten_leaves_a_final_transaction_alone(parked):
    tell(parked, "completed")

    assert hastened(parked, 0.0) == []
    assert job(parked, "track").state == "cancelled"


def test_hasten_leaves_other_transactions_alone(alice, third, parked):
    other = accepted(alice, third)
    run(job(other, "track"))
    tell(other, submission=Submission.UNKNOWN)

    hastened(parked, 0.0)

    assert wait_of(job(other, "track")) > 100


def test_nobody_asks_for_haste(parked):
    assert poll_soon([]) == []
