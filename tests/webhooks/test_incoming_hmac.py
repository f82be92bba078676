"""Scheme `hmac-sha256`: the HMAC of the body in a header that the provider chooses."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

from providers.models import WebhookSecret
from tests.cast import Third, accepted, clear_caches, make_client, make_provider, now
from tests.running import change
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, recorded, refusals, send, signed_by_hmac, words
from transactions.snapshot import TransactionSnapshot
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(db) -> Third:
    """A provider that signs the body alone."""
    return make_provider("shop", webhook_auth="hmac-sha256")


@pytest.fixture
def record(shop) -> TransactionSnapshot:
    return accepted(make_client("bob", shop.provider), shop)


def mac(secret: str, body: bytes) -> bytes:
    return hmac.digest(secret.encode(), body, hashlib.sha256)


def taken(body: bytes, header: str, name: str = "X-Signature") -> bool:
    return bool(send("/webhooks/shop", body, {name: header}).status_code == 204)


def test_a_signed_webhook_is_accepted(shop, record):
    body = words(record.id)

    assert send("/webhooks/shop", body, signed_by_hmac(shop.secret, body)).status_code == 204
    assert now(record).status == "completed"


def test_it_takes_githubs_own_example():
    """From "Validating webhook deliveries" of GitHub's documentation."""
    third = make_provider("shop", webhook_auth="hmac-sha256", webhook_signature_header="X-Hub-Signature-256")
    WebhookSecret.objects.create(provider=third.provider, secret="It's a Secret to Everybody")
    clear_caches()
    mark = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    answer = send("/webhooks/shop", b"Hello, World!", {"X-Hub-Signature-256": mark})

    problem(answer, 400, "invalid")  # authentic, but of no transaction
    assert refusals() == {"malformed": 1}


@pytest.mark.parametrize("shape", ["{hex}", "{base64}", "sha256={base64}", "sha256={HEX}", " sha256={hex} "])
def test_the_digest_may_be_hex_or_base64_with_or_without_the_prefix(shop, record, shape):
    body = words(record.id)
    digest = mac(shop.secret, body)
    as_hex, as_base64 = digest.hex(), base64.b64encode(digest).decode()

    assert taken(body, shape.format(hex=as_hex, base64=as_base64, HEX=as_hex.upper()))


@pytest.mark.parametrize("name", ["X-Hub-Signature-256", "x-acme_signature", "Authorization"])
def test_the_header_is_the_one_that_the_settings_name(shop, record, name):
    change(shop, webhook_signature_header=name, webhook_signature_prefix="")
    body = words(record.id)
    digest = mac(shop.secret, body).hex()

    assert not taken(body, digest)
    assert taken(body, digest, name.replace("_", "-"))


@pytest.mark.parametrize("prefix", ["v1=", "HMAC-SHA256:"])
def test_the_prefix_is_the_one_that_the_settings_name(shop, record, prefix):
    change(shop, webhook_signature_prefix=prefix)
    body = words(record.id)
    digest = mac(shop.secret, body).hex()

    assert not taken(body, "sha256=" + digest)
    assert taken(body, prefix + digest)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "missing_headers"), ("sha256=", "wrong_signature"), ("sha256={0}0", "malformed_headers"),
        ("sha1={0}", "malformed_headers"), ("sha256={0},sha256={0}", "malformed_headers"), ("é", "malformed_headers"),
        ("sha256=sha256={0}", "malformed_headers"), ("sha256=" + "0" * 64, "wrong_signature"),
        ("sha256=" + "A" * 43 + "=", "wrong_signature"), ("sha256=" + "A" * 60_000, "wrong_signature"),
    ],
)  # fmt: skip
def test_it_refuses_a_malformed_header(shop, record, header, reason):
    body = words(record.id)
    before = everything()

    answer = send("/webhooks/shop", body, {"X-Signature": header.format(mac(shop.secret, body).hex())})

    problem(answer, 401, "webhook-not-authentic")
    assert everything() == before
    assert refusals() == {reason: 1}


def test_a_replay_is_known_by_its_body(shop, record):
    body = words(record.id)
    for _ in range(3):
        send("/webhooks/shop", body, signed_by_hmac(shop.secret, body))

    assert list(Webhook.objects.values_list("result", "repeats")) == [("applied", 2)]


def test_the_same_word_of_two_transactions_is_two_webhooks(shop, record):
    other: Any = accepted(make_client("carol", shop.provider), shop)
    for one in (record, other):
        body = words(one.id)
        send("/webhooks/shop", body, signed_by_hmac(shop.secret, body))

    assert recorded() == ["applied", "applied"]
