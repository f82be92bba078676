"""Scheme `url-token` for providers that cannot sign: the URL authenticates a webhook for one transaction."""

from uuid import UUID

import pytest
from cryptography.fernet import Fernet

from providers.webhook_urls import webhook_url
from tests.cast import Third, accepted, make_client, make_provider, now
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, recorded, refusals, send, signed, words
from transactions.snapshot import TransactionSnapshot
from webhooks.models import Webhook
from workers.foundation.ids import uuid7

pytestmark = pytest.mark.django_db


@pytest.fixture
def unsigned(db) -> Third:
    """A provider that cannot sign."""
    return make_provider("unsigned", webhook_auth="url-token")


@pytest.fixture
def record(unsigned) -> TransactionSnapshot:
    return accepted(make_client("bob", unsigned.provider), unsigned)


def path(third: Third, id: UUID) -> str:
    """The webhook URL of this transaction."""
    url = webhook_url(third.settings, id)
    assert url.startswith("http://testserver/webhooks/")
    return url.removeprefix("http://testserver")


def refused(path: str, body: bytes, reason: str, **headers: str) -> None:
    """Assert that it is answered 401 and only a count is stored."""
    before = everything()
    problem(send(path, body, headers), 401, "webhook-not-authentic")
    assert everything() == before
    assert refusals() == {reason: 1}


def test_the_address_is_enough(unsigned, record):
    answer = send(path(unsigned, record.id), words(record.id))

    assert (answer.status_code, answer.content) == (204, b"")
    assert now(record).status == "completed"
    assert recorded() == ["applied"]


def test_the_address_names_provider_and_transaction(unsigned, record):
    start, _, token = path(unsigned, record.id).rpartition("/")

    assert start == f"/webhooks/unsigned/{record.id}"
    assert len(token) == 64


def test_the_plain_address_is_refused(unsigned, record):
    refused("/webhooks/unsigned", words(record.id), "missing_token")


def test_a_signature_does_not_replace_the_token(unsigned, record):
    body = words(record.id)

    refused("/webhooks/unsigned", body, "missing_token", **signed(unsigned.secret, body))


@pytest.mark.parametrize(
    "wrong",
    [lambda t: "x", lambda t: t[:-1], lambda t: t + "0", str.upper, lambda t: t[::-1], lambda t: "%00", lambda t: "é"],
)
def test_a_wrong_token_is_refused(unsigned, record, wrong):
    start, _, token = path(unsigned, record.id).rpartition("/")

    refused(f"{start}/{wrong(token)}", words(record.id), "wrong_token")


def test_another_transactions_token_is_refused(unsigned, record):
    other = path(unsigned, uuid7()).rpartition("/")[2]

    refused(f"/webhooks/unsigned/{record.id}/{other}", words(record.id), "wrong_token")


def test_another_providers_token_is_refused(unsigned, record):
    other = make_provider("another", webhook_auth="url-token")
    token = path(other, record.id).rpartition("/")[2]

    refused(f"/webhooks/unsigned/{record.id}/{token}", words(record.id), "wrong_token")


def test_a_token_is_valid_for_its_own_transaction_only(unsigned, record):
    other = accepted(make_client("carol", unsigned.provider), unsigned)
    before = everything()

    answer = send(path(unsigned, record.id), words(other.id))

    problem(answer, 400, "invalid")
    assert everything() == before
    assert refusals() == {"malformed": 1}


@pytest.mark.parametrize("id_", ["nothing", "00000000-0000-0000-0000-000000000000", "1"])
def test_the_id_in_the_body_must_equal_the_id_in_the_url(unsigned, record, id_):
    before = everything()

    problem(send(path(unsigned, record.id), words(id_)), 400, "invalid")
    assert everything() == before


@pytest.mark.parametrize(
    "body", [b'{"status": "completed"}', b'{"id": "", "status": "completed"}', b'{"id": null, "status": "completed"}']
)
def test_the_id_in_the_url_counts_where_the_body_has_none(unsigned, record, body):
    assert send(path(unsigned, record.id), body).status_code == 204

    assert now(record).status == "completed"
    assert list(Webhook.objects.values_list("given_id", "transaction_id")) == [("", record.id)]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type": "ping"}', b'{"status": null}'])
def test_a_ping_at_the_url_is_ignored_and_shown_with_its_transaction(unsigned, record, body):
    assert send(path(unsigned, record.id), body).status_code == 204

    assert now(record).status == "pending"
    assert list(Webhook.objects.values_list("result", "transaction_id")) == [("ignored", record.id)]


def test_a_form_without_the_id_is_applied_to_the_id_in_the_url(unsigned, record):
    send(path(unsigned, record.id), b"status=declined&reason=Closed", content_type="application/x-www-form-urlencoded")

    assert (now(record).status, now(record).failure_detail) == ("declined", "Closed")


def test_the_id_may_be_written_in_capitals(unsigned, record):
    send(path(unsigned, record.id), words(str(record.id).upper()))

    assert now(record).status == "completed"


def test_the_url_of_an_unknown_transaction_is_recorded_as_unmatched(unsigned):
    id_ = uuid7()

    assert send(path(unsigned, id_), words(id_)).status_code == 204
    assert recorded() == ["unmatched"]


def test_the_same_body_again_is_the_same_webhook(unsigned, record):
    for _ in range(3):
        assert send(path(unsigned, record.id), words(record.id)).status_code == 204

    assert list(Webhook.objects.values_list("result", "repeats")) == [("applied", 2)]


def test_another_body_is_another_webhook(unsigned, record):
    for status in ("pending", "completed", "declined"):
        send(path(unsigned, record.id), words(record.id, status))

    assert recorded() == ["noted", "applied", "contradicting"]


def test_a_url_stays_valid_when_the_keys_are_rotated(unsigned, record, settings):
    address = path(unsigned, record.id)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]

    assert path(unsigned, record.id) != address
    assert send(address, words(record.id)).status_code == 204


def test_a_url_made_with_a_removed_key_is_refused(unsigned, record, settings):
    old, address = settings.ENCRYPTION_KEYS, path(unsigned, record.id)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    answer = send(address, words(record.id))

    settings.ENCRYPTION_KEYS = old
    problem(answer, 401, "webhook-not-authentic")


def test_the_token_does_not_reveal_a_key(unsigned, record, settings):
    assert not any(key in path(unsigned, record.id) for key in settings.ENCRYPTION_KEYS)
