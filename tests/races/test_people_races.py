"""Actions of operators and requests of clients that coincide with other events."""

from functools import partial

import pytest
from django.contrib.auth.models import User

from clients.models import Client
from operators.actions.jobs import FINAL_ALREADY, NOT_FAILED
from operators.actions.table import ACTIONS
from providers.status import Status
from tests.cast import clear_caches, due_now, job, now
from tests.operators.pages.conftest import give_up
from tests.races.amid import amid, overtaking, second
from tests.running import again, run
from tests.servers import Answer
from tests.webhooks.senders import tell
from transactions.models import Event
from transactions.notifications import notify_again
from transactions.observations import Observation
from transactions.status import Source
from transactions.store import apply
from workers import jobs, kinds
from workers.lanes import Lane
from workers.models import Job
from workers.operations import requeue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

FINAL = Observation(Source.WEBHOOK, status=Status.COMPLETED)


@pytest.fixture
def olga(db: None) -> User:
    return User.objects.create_user("olga", is_staff=True)


@pytest.fixture
def press(olga, record):
    """Return a function that retries the failed create as an operator."""
    given_up = give_up(record, "create")
    return partial(ACTIONS["retry"].run, pk=given_up.pk, by=olga, reason="again")


def notifications() -> list[tuple[str, str]]:
    return list(Job.objects.filter(kind="notify").order_by("id").values_list("key", "state"))


def test_a_second_retry_during_the_retried_run_changes_nothing(press, record, far):
    assert press() == ""
    with amid(job(record, "create"), far, "GET", Answer(404)):
        under_way = job(record, "create")
        assert press() == NOT_FAILED
        after = job(record, "create")

    assert (after.claim_count, after.lease_until, after.lost_at) == (
        under_way.claim_count, under_way.lease_until, under_way.lost_at
    )  # fmt: skip
    assert Event.objects.filter(kind="staff").count() == 1


def test_a_retry_that_waits_for_the_commit_of_a_final_status_is_refused(press, record):
    assert second(press, ours=partial(apply, [(record.id, FINAL)])) == FINAL_ALREADY
    assert job(record, "create").state == "failed"


def test_a_final_status_during_a_retry_makes_the_retried_run_do_nothing(press, record, third, far, monkeypatch):
    with overtaking(partial(tell, third, record.id)) as overtaken:
        monkeypatch.setattr("operators.actions.jobs.requeue", lambda **given: overtaken() or requeue(**given))
        assert press() == ""

    run(job(record, "create"))
    assert (job(record, "create").state, now(record).status, far.asked) == ("done", "completed", [])


def test_a_notification_requested_during_a_final_status_is_sent_once(record):
    run(job(record, "notify"))

    second(partial(notify_again, record), ours=partial(apply, [(record.id, FINAL)]))

    assert notifications() == [("seq:1", "done"), ("seq:2", "waiting")]


def test_a_final_status_during_a_notification_request_is_the_status_sent(record, endpoint, monkeypatch):
    run(job(record, "notify"))
    with overtaking(partial(apply, [(record.id, FINAL)])) as overtaken:
        monkeypatch.setattr("transactions.notifications.uuid4", lambda: overtaken() or "number")
        notify_again(record)
    for one in Job.objects.filter(kind="notify", state="waiting"):
        run(one)

    assert notifications() == [("seq:1", "done"), ("again:number", "done"), ("seq:2", "done")]
    assert [asked.json["data"]["status"] for asked in endpoint.asked] == ["pending", "completed", "completed"]


def test_a_final_status_during_the_delivery_of_pending_is_sent_after_it(third, record, endpoint):
    with amid(job(record, "notify"), endpoint, "POST", Answer(204)):
        tell(third, record.id)
        final = job(record, "notify", "seq:2")
        assert jobs.claim_one(final) is None
        assert [one.claims for one in jobs.claim_lanes({Lane(final.lane): 9}, kinds.all_kinds())] == [()]
    run(final)

    assert [asked.json["data"]["status"] for asked in endpoint.asked] == ["pending", "completed"]


def test_a_pending_delivery_that_fails_after_the_final_status_is_not_retried(third, record, endpoint):
    with amid(job(record, "notify"), endpoint, "POST", Answer(500)):
        tell(third, record.id)
    endpoint.on("POST", Answer(204))
    run(job(record, "notify"))
    run(job(record, "notify", "seq:2"))

    assert [asked.json["data"]["status"] for asked in endpoint.asked] == ["pending", "completed"]


def test_an_endpoint_disabled_during_a_delivery_confirms_it_and_receives_no_other(third, record, alice, endpoint):
    with amid(job(record, "notify"), endpoint, "POST", Answer(204)):
        Client.objects.update(endpoint_disabled_at=record.created_at)
        clear_caches()
        tell(third, record.id)
    due_now()

    assert now(record).notified_sequence == 1
    assert jobs.claim_lanes({alice.settings.lane: 9}, kinds.all_kinds()) == []
    assert again(job(record, "notify", "seq:2")).state == "waiting"
