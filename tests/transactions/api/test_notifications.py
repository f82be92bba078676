"""`POST …/notifications`: the current status is sent to the client's endpoint again."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.transactions.api.callers import Api
from transactions.models import Transaction
from workers.lanes import Lane
from workers.models import Job
from workers.outcomes import Wake

pytestmark = pytest.mark.django_db


@pytest.fixture
def confirmed(api: Api) -> Api:
    """Return Alice's API; she has one transaction, whose notification her endpoint has confirmed."""
    api.post()
    Job.objects.filter(kind="notify").update(state="done")
    return api


def notify_jobs(**which: object) -> list[Job]:
    return list(Job.objects.filter(kind="notify", **which).order_by("id"))


def test_it_answers_202_with_the_transaction(confirmed):
    answer = confirmed.notify("order-1")

    assert answer.status_code == 202
    assert answer.json() == confirmed.get("/order-1").json()


def test_it_schedules_a_notification_that_is_due_now(confirmed, alice):
    confirmed.notify("order-1")

    [done, again] = notify_jobs()
    assert (done.state, again.state) == ("done", "waiting")
    assert again.lane == Lane.client(alice.client.pk)
    assert again.transaction_id == Transaction.objects.get().id
    assert again.run_at <= datetime.now(UTC)


def test_it_wakes_the_workers_at_once(confirmed, alice, monkeypatch):
    wakes: list[Wake] = []
    monkeypatch.setattr("transactions.notifications.announce", wakes.extend)

    confirmed.notify("order-1")

    assert wakes == [Wake("notify", Lane.client(alice.client.pk))]


def test_it_does_nothing_else(confirmed):
    before = confirmed.get("/order-1").json()
    jobs = list(Job.objects.exclude(kind="notify").order_by("id").values())

    confirmed.notify("order-1")

    assert confirmed.get("/order-1").json() == before
    assert list(Job.objects.exclude(kind="notify").order_by("id").values()) == jobs


def test_two_requests_schedule_one_notification(confirmed):
    confirmed.notify("order-1")

    assert confirmed.notify("order-1").status_code == 202
    assert len(notify_jobs(state="waiting")) == 1


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_notification_does_not_stop_the_next(confirmed, state):
    Job.objects.filter(kind="notify").update(state=state)

    confirmed.notify("order-1")
    notify_jobs(state="waiting")[0].delete()
    confirmed.notify("order-1")

    assert len(notify_jobs(state="waiting")) == 1


def test_a_running_notification_does_not_stop_the_next(confirmed):
    soon = datetime.now(UTC) + timedelta(seconds=20)
    Job.objects.filter(kind="notify").update(state="running", lease_until=soon)

    confirmed.notify("order-1")

    assert len(notify_jobs(state="waiting")) == 1


def test_it_uses_a_waiting_notification(api):
    api.post()

    assert api.notify("order-1").status_code == 202
    assert [(job.state, job.key) for job in notify_jobs()] == [("waiting", "seq:1")]


def test_a_notification_that_waits_for_a_retry_is_sent_now(confirmed):
    later = datetime.now(UTC) + timedelta(hours=10)
    Job.objects.filter(kind="notify").update(state="waiting", run_at=later, claim_count=7, tries=7)

    confirmed.notify("order-1")

    assert min(job.run_at for job in notify_jobs(state="waiting")) <= datetime.now(UTC)


def test_a_notification_of_another_transaction_is_not_used(confirmed):
    confirmed.post(id="order-2")

    confirmed.notify("order-1")

    assert len(notify_jobs(transaction_id=Transaction.objects.get(client_ref="order-1").id, state="waiting")) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"not JSON", b"\xff"])
def test_it_ignores_the_body(confirmed, body):
    assert confirmed.web.generic("POST", "/v1/transactions/order-1/notifications", body).status_code == 202


def test_another_client_schedules_nothing(confirmed, stranger):
    assert stranger.notify("order-1").status_code == 404
    assert notify_jobs(state="waiting") == []
