"""Webhooks for a transaction that the database has lost, and that is posted again."""

import json

import pytest

from tests.cast import accepted, make_provider, now
from tests.running import lose
from tests.webhooks.senders import send_signed
from webhooks.incoming import unmatched
from webhooks.models import Webhook
from workers.models import Job
from workers.periodic import Walk

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def search(monkeypatch):
    """Search from the first unmatched webhook, and again at once."""
    monkeypatch.setattr(unmatched, "_walk", Walk(unmatched._walk._read, 0, every=0.0))


def tell(third, id_, status="completed", **more):
    body = json.dumps({"id": str(id_), "status": status, **more}).encode()
    assert send_signed(third, body, id=f"msg_{Webhook.objects.count()}").status_code == 204


def results() -> list[str]:
    return list(Webhook.objects.order_by("id").values_list("result", flat=True))


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_it_is_applied_once_the_transaction_is_posted_again(alice, third, status):
    first = accepted(alice, third, client_ref="order-1")
    lose(first)
    tell(third, first.id, status, reason="no funds")
    second = accepted(alice, third, client_ref="order-1")

    unmatched.step()

    assert (now(second).status, results()) == (status, ["applied"])
    assert Webhook.objects.get().transaction_id == second.id
    assert Job.objects.filter(transaction_id=second.id, key="seq:2").count() == 1
    if status != "completed":
        assert now(second).failure_detail == "no funds"


def test_it_is_applied_once(alice, third):
    first = accepted(alice, third, client_ref="order-1")
    lose(first)
    tell(third, first.id)
    tell(third, first.id, "declined")
    second = accepted(alice, third, client_ref="order-1")

    for _ in range(3):
        unmatched.step()

    assert (now(second).status, now(second).review) == ("completed", "contradiction")
    assert results() == ["applied", "contradicting"]


def test_it_waits_while_the_transaction_does_not_exist(alice, third):
    tell(third, alice.settings.transaction_id("order-1"))

    unmatched.step()

    assert results() == ["unmatched"]


def test_another_providers_webhook_is_not_applied(alice, third):
    tell(make_provider("other"), alice.settings.transaction_id("order-1"))
    record = accepted(alice, third, client_ref="order-1")

    unmatched.step()

    assert (now(record).status, results()) == ("pending", ["unmatched"])


def test_ids_that_are_no_uuid_are_passed_over(alice, third):
    for id_ in ("order-1", "é", "0", alice.settings.transaction_id("order-1")):
        tell(third, id_)
    record = accepted(alice, third, client_ref="order-1")

    unmatched.step()

    assert now(record).status == "completed"
    assert unmatched.count() == 3


def test_an_old_one_is_not_counted(third):
    tell(third, "a")
    tell(third, "b")
    first = Webhook.objects.earliest("id")
    Webhook.objects.filter(pk=first.pk).update(received_at="2020-01-01T00:00Z")

    assert unmatched.count() == 1
