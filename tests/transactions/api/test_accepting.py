from datetime import UTC, datetime

import pytest

from clients.models import Client
from tests.cast import Third, clear_caches, make_client, make_provider
from tests.transactions.api.callers import LEFT_OUT, Api, problem, stored, wrong_fields
from transactions.models import Transaction
from workers.lanes import Lane
from workers.outcomes import Wake

pytestmark = pytest.mark.django_db


def test_it_answers_202_with_the_url_of_the_new_transaction(api):
    answer = api.post(id="order-1")

    assert answer.status_code == 202
    assert answer["Location"] == "/v1/transactions/order-1"
    assert "Idempotent-Replayed" not in answer
    assert stored() == (1, 1, 3)


def test_it_answers_with_the_whole_transaction(api, alice):
    body = api.post(id="order-1", reference="March", metadata={"a": "b"}).json()

    row = Transaction.objects.get()
    assert row.client == alice.client
    created = row.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert body == {
        "id": "order-1",
        "status": "pending",
        "amount": 1250,
        "currency": "EUR",
        "provider": "third",
        "provider_transaction_id": str(row.id),
        "reference": "March",
        "metadata": {"a": "b"},
        "sequence": 1,
        "failure": None,
        "created_at": created,
        "updated_at": created,
        "finalised_at": None,
    }


def test_it_gives_the_provider_a_uuid_of_version_5(api):
    api.post()

    assert Transaction.objects.get().id.version == 5


def test_a_list_is_sorted_by_a_uuid_of_version_7_of_the_acceptance(api):
    api.post()

    key = Transaction.objects.get().sort_id
    assert key.version == 7
    assert abs(datetime.now(UTC).timestamp() - (key.int >> 80) / 1000) < 60


def test_reference_and_metadata_are_empty_by_default(api):
    body = api.post(reference=LEFT_OUT, metadata=LEFT_OUT).json()

    assert (body["reference"], body["metadata"]) == (None, {})


@pytest.mark.parametrize("field", ["reference", "metadata", "provider"])
def test_it_accepts_null_for_optional_fields(api, field):
    assert api.post(**{field: None}).status_code == 202


def test_it_takes_the_id_from_the_header_if_the_body_has_none(api):
    answer = api.send(b'{"amount": 1, "currency": "EUR"}', Idempotency_Key="from-the-header")

    assert answer.json()["id"] == "from-the-header"
    assert answer["Location"] == "/v1/transactions/from-the-header"


@pytest.mark.parametrize("id_", ["order-1", "a", "8e03978e-40d5-43dd-bc93-6894a57f9324"])
def test_quotes_around_the_header_are_no_part_of_the_id(api, id_):
    first = api.send(b'{"amount": 1250, "currency": "EUR"}', Idempotency_Key=f'"{id_}"')

    assert (first.status_code, first.json()["id"]) == (202, id_)
    assert api.post(id=id_)["Idempotent-Replayed"] == "true"


def test_it_takes_the_id_from_the_body_if_both_have_one(api):
    answer = api.send(b'{"id": "body", "amount": 1, "currency": "EUR"}', Idempotency_Key="header")

    assert answer.json()["id"] == "body"


def test_an_id_in_the_header_equals_the_same_id_in_the_body(api):
    api.post(id="same")

    again = api.send(b'{"amount": 1250, "currency": "EUR"}', Idempotency_Key="same")

    assert again.status_code == 200
    assert stored() == (1, 1, 3)


def test_it_goes_to_the_provider_that_is_named(api):
    other = make_provider("other")

    assert api.post(provider="other").json()["provider"] == "other"
    assert Transaction.objects.get().provider == other.provider


def test_it_requires_a_provider_if_the_client_has_no_default():
    api = Api(make_client("without", None))

    assert wrong_fields(api.post()) == [("provider", "required")]


def test_it_accepts_a_named_provider_if_the_client_has_no_default(third: Third):
    assert Api(make_client("without", None)).post(provider="third").status_code == 202


def test_only_a_new_transaction_wakes_the_workers(api, alice, third, monkeypatch):
    told: list[Wake] = []
    monkeypatch.setattr("transactions.store.announce", told.extend)

    api.post()
    api.post()

    provider, client = Lane.provider(third.provider.pk), Lane.client(alice.client.pk)
    assert told == [Wake("create", provider), Wake("notify", client, 0.2), Wake("track", provider, 0.2)]


def test_the_same_request_is_a_replay(api):
    first = api.post(reference="March", metadata={"a": "b"})

    again = api.post(reference="March", metadata={"a": "b"})

    assert again.status_code == 200
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert stored() == (1, 1, 3)


def test_a_replay_returns_the_current_state(api):
    api.post()
    Transaction.objects.update(status="completed", finalised_at=datetime.now(UTC), sequence=2)

    assert api.post().json()["status"] == "completed"


def test_the_order_of_metadata_keys_is_ignored(api):
    api.post(metadata={"a": "1", "b": "2"})

    assert api.post(metadata={"b": "2", "a": "1"}).status_code == 200


def test_null_and_an_absent_field_are_the_same_content(api):
    api.post(reference=None, metadata={})

    assert api.post(reference=LEFT_OUT, metadata=None).status_code == 200


def test_naming_the_same_provider_is_the_same_content(api):
    api.post()

    assert api.post(provider="third").status_code == 200


def test_a_replay_does_not_follow_a_changed_default_provider(api, alice):
    api.post()
    Client.objects.filter(pk=alice.client.pk).update(default_provider=make_provider("other").provider)
    clear_caches()

    again = api.post()

    assert (again.status_code, again.json()["provider"]) == (200, "third")


def test_a_replay_needs_no_default_provider(api, alice):
    api.post()
    Client.objects.filter(pk=alice.client.pk).update(default_provider=None)
    clear_caches()

    assert api.post().status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1251},
        {"currency": "USD"},
        {"reference": "April"},
        {"reference": LEFT_OUT},
        {"metadata": {"a": "c"}},
        {"metadata": {"a": "b", "more": ""}},
        {"metadata": LEFT_OUT},
        {"provider": "other"},
    ],
)
def test_other_content_under_the_same_id_is_a_mismatch_that_changes_nothing(api, changed):
    make_provider("other")
    api.post(reference="March", metadata={"a": "b"})
    before = api.get("/order-1").json()

    answer = api.post(**{"reference": "March", "metadata": {"a": "b"}, **changed})

    problem(answer, 422, "idempotency-mismatch")
    assert "Idempotent-Replayed" not in answer
    assert api.get("/order-1").json() == before
    assert stored() == (1, 1, 3)


def test_two_clients_may_use_the_same_id(api, stranger):
    api.post(id="same", amount=1)

    answer = stranger.post(id="same", amount=2)

    assert (answer.status_code, answer.json()["amount"]) == (202, 2)
    assert api.get("/same").json()["amount"] == 1


def test_ids_are_case_sensitive(api):
    api.post(id="a")

    assert api.post(id="A").status_code == 202
