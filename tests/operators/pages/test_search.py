"""Search by any id of a transaction, job, webhook or call."""

from typing import Any

import pytest

from tests.cast import accepted, job
from webhooks.models import Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
TRANSACTIONS, JOBS = "/admin/transactions/transaction/", "/admin/workers/job/"


@pytest.fixture
def webhook(order, third):
    return Webhook.objects.create(
        provider=third.provider, webhook_id="msg_1", transaction_id=order.id, given_id=str(order.id), result="noted"
    )


def found(client, address, term) -> set[Any]:
    return {row.pk for row in client.get(address, {"q": term}).context["cl"].result_list}


@pytest.mark.parametrize("name", ["our id", "our id in hex", "client's id", "reference", "job", "webhook"])
def test_each_id_finds_the_transaction_and_no_other(viewer, order, alice, third, webhook, name):
    accepted(alice, third, client_ref="order-77", reference="invoice 47111")
    terms = {
        "our id": str(order.id),
        "our id in hex": f" {order.id.hex} ",
        "client's id": "order-7",
        "reference": "invoice 4711",
        "job": job(order, "track").pk,
        "webhook": "msg_1",
    }

    assert found(viewer, TRANSACTIONS, terms[name]) == {order.id}


@pytest.mark.parametrize("term", ["order", "invoice", "0", "99999999999999999999999", "²", "no such id", "'; --"])
def test_other_terms_find_nothing(viewer, order, term):
    assert found(viewer, TRANSACTIONS, term) == set()


def test_finds_the_same_id_of_two_clients(viewer, order, mallory, third):
    other = accepted(mallory, third, client_ref="order-7")

    assert found(viewer, TRANSACTIONS, "order-7") == {order.id, other.id}


def test_a_job_is_found_by_its_number_and_by_its_transaction(viewer, order):
    track = job(order, "track")

    assert found(viewer, JOBS, track.pk) >= {track.pk}
    assert len(found(viewer, JOBS, "order-7")) == 3


def test_a_webhook_is_found_by_its_id_and_by_its_transaction(viewer, webhook, order):
    address = "/admin/webhooks/webhook/"

    assert found(viewer, address, "msg_1") == found(viewer, address, order.id) == {webhook.pk}


def test_a_call_is_found_by_its_job_and_by_its_transaction(viewer, order):
    call = job(order, "track").calls.create(transaction_id=order.id, attempt=1, started_at=order.created_at)

    address = "/admin/workers/outboundcall/"
    assert found(viewer, address, call.job_id) == found(viewer, address, order.id) == {call.pk}


def test_a_client_is_found_by_the_start_of_its_key(viewer, alice, mallory):
    assert found(viewer, "/admin/clients/client/", alice.key[:12]) == {alice.client.pk}


@pytest.mark.parametrize("given", ["status=pending", "stuck=1h&age=week", "review=any", "provider=1", "client=x"])
def test_filtered_lists_open(viewer, given_up, given):
    assert viewer.get(f"{TRANSACTIONS}?{given}").status_code == 200
