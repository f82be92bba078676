"""The jobs that an observation cancels and schedules, and the command `PollSoon`."""

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
    """Apply one observation; return its effect."""
    [applied], _ = apply([(record.id, Observation(source, status=Status(status), **fields))])
    return applied


def test_a_final_status_cancels_waiting_jobs(record):
    tell(record, "completed")

    assert {job(record, kind).state for kind in ("create", "track", "notify")} == {"cancelled"}


def test_a_final_status_changes_no_running_or_ended_job(record):
    claim(job(record, "create"))
    Job.objects.filter(pk=job(record, "track").pk).update(state="failed")

    tell(record, "completed")

    assert (job(record, "create").state, job(record, "track").state) == ("running", "failed")


def test_it_cancels_no_job_of_another_transaction(alice, third, record):
    other = accepted(alice, third)

    tell(record, "completed")

    assert job(other, "create").state == "waiting"


def test_a_status_change_is_notified_once(record, alice):
    _, wakes = apply([(record.id, Observation(Source.WEBHOOK, status=Status.COMPLETED))])
    tell(record, "completed")
    tell(record, "declined")

    told = Job.objects.get(transaction_id=record.id, kind="notify", state="waiting")
    assert (told.key, told.lane) == ("seq:2", alice.settings.lane)
    assert wakes == [Wake("notify", alice.settings.lane)]


def test_an_observation_without_a_change_wakes_no_lane(record):
    assert apply([(record.id, Observation(Source.WEBHOOK))])[1] == []


def resumed(record, after):
    return poll_soon([(record.id, PollSoon(after))])


@pytest.fixture
def parked(record):
    """Return a transaction whose poll waits for the create, which has ended with an unknown outcome."""
    run(job(record, "track"))
    tell(record, submission=Submission.UNKNOWN)
    return record


def test_poll_soon_moves_a_waiting_poll_forward_and_wakes_its_lane(parked, third):
    [wake] = resumed(parked, 1.5)

    assert (wake.kind, wake.lane, wake.after) == ("track", third.settings.lane, pytest.approx(1.5, abs=0.1))
    assert wait_of(job(parked, "track")) < 1.6


def test_poll_soon_never_delays_a_poll(parked):
    resumed(parked, 0.1)
    before = job(parked, "track").run_at
    resumed(parked, 500.0)

    assert job(parked, "track").run_at == before


def test_poll_soon_does_not_move_the_first_poll(record):
    tell(record, submission=Submission.CREATED)
    before = job(record, "track").run_at

    assert resumed(record, 0.0) == []
    assert job(record, "track").run_at == before


def test_poll_soon_does_nothing_while_a_create_runs(parked):
    claim(job(parked, "create"))

    assert resumed(parked, 0.0) == []


def test_poll_soon_does_nothing_before_the_create_is_sent(record):
    run(job(record, "track"))

    assert resumed(record, 0.0) == []


def test_poll_soon_does_not_change_a_final_transaction(parked):
    tell(parked, "completed")

    assert resumed(parked, 0.0) == []
    assert job(parked, "track").state == "cancelled"


def test_poll_soon_does_not_change_other_transactions(alice, third, parked):
    other = accepted(alice, third)
    run(job(other, "track"))
    tell(other, submission=Submission.UNKNOWN)

    resumed(parked, 0.0)

    assert wait_of(job(other, "track")) > 100


def test_poll_soon_without_commands_does_nothing(parked):
    assert poll_soon([]) == []
