"""Notifications: content and signatures."""

import json
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError
from svix.webhooks import Webhook as Svix
from svix.webhooks import WebhookVerificationError as SvixError

from clients.models import CallbackSecret
from tests.cast import accepted, clear_caches, job
from tests.running import run
from tests.servers import Answer
from tests.webhooks.outgoing.steps import change, end
from transactions.api.bodies import TransactionBody
from transactions.api.schema import description
from transactions.notifications import notify_again
from workers.foundation.webhook_secrets import new_secret
from workers.models import Job

pytestmark = pytest.mark.django_db


# --- what is sent


def test_it_posts_to_the_callback_url(telling, endpoint):
    run(telling)

    [asked] = endpoint.asked
    assert (asked.method, asked.path) == ("POST", "/callback")
    assert asked.headers["content-type"] == "application/json"


def test_the_body_is_the_type_the_time_and_the_transaction(telling, endpoint, record):
    run(telling)

    body = endpoint.asked[0].json
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "transaction.pending"
    assert datetime.now(UTC) - datetime.fromisoformat(body["timestamp"]) < timedelta(seconds=10)
    assert body["data"] == record.as_json("third")
    assert (body["data"]["id"], body["data"]["metadata"]) == (record.client_ref, {"a": "b"})


def test_its_transaction_has_the_fields_of_the_api(telling, endpoint):
    run(telling)

    assert set(endpoint.asked[0].json["data"]) == set(TransactionBody().fields)


def test_it_matches_the_openapi_description(telling, endpoint):
    run(telling)

    described = description()
    sent, [asked] = described["webhooks"]["transaction"]["post"], endpoint.asked
    body = sent["requestBody"]["content"]["application/json"]["schema"] | {"components": described["components"]}
    jsonschema.validate(asked.json, body)
    for header in sent["parameters"]:
        jsonschema.validate(asked.headers[header["name"]], header["schema"])


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_final_status_is_sent_with_its_sequence_and_failure(record, endpoint, status):
    failure = {"failure_code": "refused", "failure_detail": "no"} if status == "failed" else {}
    run(end(record, status, **failure))

    body = endpoint.asked[0].json
    assert body["type"] == f"transaction.{status}"
    assert (body["data"]["status"], body["data"]["sequence"]) == (status, 2)
    assert body["data"]["failure"] == ({"code": "refused", "detail": "no"} if failure else None)
    assert body["data"]["finalised_at"] is not None


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_client_can_choose_another_method(telling, endpoint, alice, method):
    change(alice, callback_method=method)
    run(telling)

    assert endpoint.methods == [method]


def test_a_client_can_choose_its_own_body(record, endpoint, alice):
    names = ("id", "status", "sequence", "amount", "currency", "reference", "provider_transaction_id")
    change(alice, callback_body={"order": {name: f"{{{name}}}" for name in names}, "text": "{id} is {status}", "v": 1})
    run(end(record))

    assert endpoint.asked[0].json == {
        "order": {
            "id": record.client_ref,
            "status": "completed",
            "sequence": 2,
            "amount": 1250,
            "currency": "EUR",
            "reference": "March",
            "provider_transaction_id": str(record.id),
        },
        "text": f"{record.client_ref} is completed",
        "v": 1,
    }


def test_a_clients_own_body_is_signed_as_well(telling, endpoint, alice):
    change(alice, callback_body={"id": "{id}"})
    run(telling)

    [asked] = endpoint.asked
    assert Webhook(alice.secret).verify(asked.body, dict(asked.headers)) == asked.json


def test_the_content_type_is_json(telling, endpoint):
    run(telling)

    assert json.loads(endpoint.asked[0].body)


# --- signatures


def test_the_official_library_verifies_it(telling, endpoint, alice):
    run(telling)

    [asked] = endpoint.asked
    assert Webhook(alice.secret).verify(asked.body, dict(asked.headers)) == asked.json


def test_svix_verifies_it(telling, endpoint, alice):
    run(telling)

    [asked] = endpoint.asked
    Svix(alice.secret).verify(asked.body, dict(asked.headers))
    with pytest.raises(SvixError):
        Svix(new_secret()).verify(asked.body, dict(asked.headers))


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_the_signature_covers_id_time_and_body(telling, endpoint, alice, changed):
    run(telling)
    [asked] = endpoint.asked
    headers, body = dict(asked.headers), asked.body
    if changed == "body":
        body += b" "
    else:
        headers[changed] = headers[changed] + "x" if changed == "webhook-id" else str(int(headers[changed]) - 1)

    with pytest.raises(WebhookVerificationError):
        Webhook(alice.secret).verify(body, headers)


def test_a_foreign_secret_does_not_verify_it(telling, endpoint):
    run(telling)

    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(endpoint.asked[0].body, dict(endpoint.asked[0].headers))


def secret_of(alice, **fields):
    secret = new_secret()
    CallbackSecret.objects.create(client=alice.client, secret=secret, **fields)
    clear_caches()
    return secret


def test_two_live_secrets_sign_side_by_side(telling, endpoint, alice):
    new = secret_of(alice, expires_at=Now() + timedelta(days=1))
    run(telling)

    [asked] = endpoint.asked
    assert len(asked.headers["webhook-signature"].split(" ")) == 2
    for secret in (alice.secret, new):
        Webhook(secret).verify(asked.body, dict(asked.headers))


def test_an_expired_secret_does_not_sign(telling, endpoint, alice):
    secret_of(alice, expires_at=Now() - timedelta(seconds=1))
    run(telling)

    assert len(endpoint.asked[0].headers["webhook-signature"].split(" ")) == 1


def test_retries_keep_the_id_but_not_the_timestamp(telling, endpoint):
    endpoint.on("POST", Answer(500))
    for _ in range(3):
        run(telling)

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 1
    assert len(endpoint.asked) == 3


def test_each_notification_has_an_id_of_its_own(alice, third, endpoint):
    for record in (accepted(alice, third), accepted(alice, third)):
        run(job(record, "notify"))
        run(end(record))
        notify_again(record)
        run(Job.objects.get(transaction_id=record.id, key__startswith="again:"))

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 6
