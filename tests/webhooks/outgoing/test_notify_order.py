"""Notifications: order, and disabled endpoints."""

import contextlib

import pytest
from django.db import connection
from django.db.models.functions import Now

from providers.status import Status
from tests.cast import clear_caches
from tests.running import again, claim, perform, run, settle
from tests.webhooks.outgoing.steps import change, end
from transactions.notifications import notify_again
from transactions.observations import Observation
from transactions.status import Source
from transactions.store import apply
from webhooks.outgoing.deliveries import DeliveryResult as Said
from workers import jobs, kinds
from workers.foundation.encryption import SecretUnreadable
from workers.models import Job
from workers.outcomes import Again, Done, Outcome, Wake

pytestmark = pytest.mark.django_db


# --- never backwards


def test_pending_is_sent_200_ms_after_acceptance(record, telling):
    assert (telling.run_at - record.created_at).total_seconds() == pytest.approx(0.2)


def test_a_final_status_before_that_replaces_pending(record, telling, endpoint):
    end(record)

    assert again(telling).state == "cancelled"
    assert run(telling).state == "cancelled"
    assert endpoint.asked == []


def test_a_waiting_pending_is_not_sent_after_the_final_status(record, telling, endpoint):
    claimed = claim(telling)
    end(record)

    assert jobs.load([claimed]) == {}


def test_a_pending_is_not_retried_after_the_final_status(record, telling, endpoint):
    claimed = claim(telling)
    end(record)
    settle(claimed, Outcome(Again(0.0, 1)))

    assert run(telling).state == "done"
    assert endpoint.asked == []


def test_the_final_status_waits_for_a_running_pending(record, telling, endpoint, alice):
    claimed = claim(telling)
    told = end(record)
    kind, lane = kinds.kind_of("notify"), alice.settings.lane
    assert [one.claims for one in jobs.claim_lanes({lane: 9}, [kind])] == [()]
    assert jobs.claim_one(told) is None

    wakes = settle(claimed, Outcome(Done(), Said(confirmed=1)))

    assert Wake("notify", lane) in wakes
    [found] = jobs.claim_lanes({lane: 9}, [kind])
    assert [one.key for one in found.claims] == ["seq:2"]


def test_a_slow_pending_and_the_final_status_arrive_in_their_order(record, telling, endpoint):
    claimed = claim(telling)
    outcome = perform(claimed)
    told = end(record)
    settle(claimed, outcome)
    run(told)

    assert [asked.json["data"]["sequence"] for asked in endpoint.asked] == [1, 2]


def test_a_notification_on_request_has_the_current_status(record, telling, endpoint, alice):
    run(telling)
    notify_again(record)
    waiting = Job.objects.get(kind="notify", state="waiting")
    claimed = claim(waiting)
    perform(claimed)
    settle(claimed, Outcome(Again(0.0, 1)))
    told = end(record)

    run(waiting)
    run(told)

    assert [asked.json["data"]["status"] for asked in endpoint.asked][-1] == "completed"
    assert "pending" not in [asked.json["data"]["status"] for asked in endpoint.asked[2:]]


def test_a_review_or_a_contradiction_is_not_sent(record, endpoint):
    run(end(record))
    apply([(record.id, Observation(Source.POLL, status=Status.DECLINED))])

    assert Job.objects.filter(kind="notify", state="waiting").count() == 0


# --- disabled endpoints


def test_a_disabled_endpoint_is_notified_later(record, alice):
    due = end(record)
    change(alice, endpoint_disabled_at=Now())
    kind = kinds.kind_of("notify")

    assert jobs.claim_lanes({alice.settings.lane: 9}, [kind]) == []
    change(alice, endpoint_disabled_at=None)
    [found] = jobs.claim_lanes({alice.settings.lane: 9}, [kind])
    assert [one.id for one in found.claims] == [due.pk]


def test_nothing_is_sent_unsigned_if_a_secret_cannot_be_decrypted(telling, endpoint, alice):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clients_callbacksecret SET secret = 'unreadable'")
    clear_caches()
    with contextlib.suppress(SecretUnreadable):
        run(telling)

    assert endpoint.asked == []
