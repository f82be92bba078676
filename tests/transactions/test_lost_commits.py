"""A database that has lost its last commits, and clients that repeat their POSTs."""

from uuid import uuid5

import pytest

from clients.models import Client
from clients.settings import client_settings
from tests.cast import accepted, clear_caches, job
from tests.running import again, claim, facts, lose, run, settle
from tests.servers import Answer
from workers.outcomes import Done, Failed, NoResult, Outcome

pytestmark = pytest.mark.django_db
REFS = ["order-1", "A", "z" * 64, "a.b_c:d-e"]


@pytest.mark.parametrize("ref", REFS)
def test_the_same_post_gets_the_same_id_at_the_provider(alice, third, ref):
    first = accepted(alice, third, client_ref=ref)
    lose(first)

    assert accepted(alice, third, client_ref=ref).id == first.id == uuid5(alice.client.namespace, ref)


@pytest.mark.parametrize("ref", REFS)
def test_two_clients_with_the_same_id_have_different_ids_at_the_provider(alice, mallory, third, ref):
    assert accepted(alice, third, client_ref=ref).id != accepted(mallory, third, client_ref=ref).id


def test_a_renamed_client_keeps_its_ids(alice, third):
    before = alice.settings.transaction_id("order-1")
    Client.objects.update(name="alice & co")
    clear_caches()

    assert alice.settings.transaction_id("order-1") == before


def test_a_client_with_the_number_and_name_of_a_lost_one_has_other_ids(alice):
    before = alice.settings.transaction_id("order-1")
    lost = {"id": alice.client.pk, "name": alice.client.name, "callback_url": alice.client.callback_url}
    alice.client.delete()
    clear_caches()
    found = client_settings(Client.objects.create(**lost).pk)

    assert found is not None and found.transaction_id("order-1") != before


@pytest.mark.parametrize("word", ["completed", "declined", "pending"])
def test_a_transaction_that_is_posted_again_is_found_at_the_provider(alice, third, record, creating, far, word):
    far.on("POST", Answer(201, {"status": "pending"}))
    run(creating)
    lose(record)
    far.on("GET", Answer(200, {"status": word}))

    second = accepted(alice, third, client_ref=record.client_ref)
    run(job(second, "create"))

    assert facts(second) == (word, "created", "")
    assert far.methods == ["GET", "POST", "GET"]


@pytest.mark.parametrize("late", [Outcome(Done()), Outcome(Failed("late")), NoResult("handed back")])
def test_a_run_from_before_the_loss_leaves_the_new_create_alone(alice, third, record, creating, late):
    before = claim(creating)
    lose(record)
    second = accepted(alice, third, client_ref=record.client_ref)
    create = job(second, "create")
    run_of = claim(create)

    settle(before, late)

    assert again(create).claim_token == run_of.token
    assert facts(second) == ("pending", "unsent", "")
