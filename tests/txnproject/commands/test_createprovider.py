import json
from typing import Any

import pytest
from django.core.management.base import CommandError

from providers.models import Provider, WebhookSecret
from tests.cast import Third, accepted, make_client, now
from tests.management import made, said
from tests.webhooks.senders import send_signed, words
from workers.foundation.webhook_secrets import new_secret

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

BASE = ("--base-url", "https://third.example/api")


def refused(*words_: str) -> str:
    """Return the error of the command, which stores nothing."""
    with pytest.raises(CommandError) as error:
        said("createprovider", *words_)
    assert not Provider.objects.exists() and not WebhookSecret.objects.exists()
    return str(error.value)


def provider(**settings: Any) -> Provider:
    """Return the provider that the command creates with these settings."""
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    made("createprovider", "third", *BASE, *pairs)
    return Provider.objects.get()


def test_it_prints_slug_secret_and_address_as_one_json_object():
    printed = made("createprovider", "third", *BASE)

    assert set(printed) == {"provider", "webhook_secret", "webhook_url"}
    assert (printed["provider"], printed["webhook_url"]) == ("third", "http://testserver/webhooks/third")


def test_it_stores_the_provider_with_the_documented_settings():
    found = provider()

    assert (found.slug, found.adapter, found.base_url, found.webhook_auth) == ("third", "http", BASE[1], "standard")
    documented = {
        "create_timeout": 35, "settle_window": 120, "create_retries": 3, "create_retry_delay": 120, "first_poll": 0.2,
        "second_poll": 0.01, "poll_growth": 2, "poll_cap": 3600, "track_for": 86400, "max_in_flight": 200,
        "check_before_create": True, "paused": False, "create_path": "/transactions",
        "status_path": "/transactions/{id}", "status_field": "status", "status_map": {}, "headers": {},
        "webhook_id_field": "id", "webhook_status_field": "status",
        "create_body": {name: f"{{{name}}}" for name in ("id", "amount", "currency", "reference", "webhook_url")},
    }  # fmt: skip
    assert {name: getattr(found, name) for name in documented} == documented


def test_webhooks_signed_with_its_secret_are_accepted():
    secret = made("createprovider", "third", *BASE)["webhook_secret"]
    third = Third(Provider.objects.get(), secret)
    record = accepted(make_client("alice", third.provider), third)

    assert send_signed(third, words(record.id)).status_code == 204
    assert now(record).status == "completed"


def test_it_stores_a_given_secret():
    secret = new_secret()

    assert made("createprovider", "third", *BASE, "--webhook-secret", secret)["webhook_secret"] == secret
    assert WebhookSecret.objects.get().secret == secret


@pytest.mark.parametrize(
    "secret", ["secret", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "A" * 100, "whsec_ä", "WHSEC_" + "A" * 44]
)
def test_it_refuses_an_invalid_secret(secret):
    assert "--webhook-secret" in refused("third", *BASE, "--webhook-secret", secret)


@pytest.mark.parametrize("scheme", ["stripe", "hmac-sha256"])
@pytest.mark.parametrize("secret", ["whsec_not base64", "It's a Secret to Everybody", "x" * 16, "x" * 255])
def test_other_schemes_store_the_secret_as_given(scheme, secret):
    made("createprovider", "third", *BASE, "--webhook-auth", scheme, "--webhook-secret", secret)

    assert WebhookSecret.objects.get().secret == secret


@pytest.mark.parametrize("scheme", ["stripe", "hmac-sha256"])
@pytest.mark.parametrize(
    "secret", ["short", "x" * 15, "x" * 256, " " + "x" * 20, "x" * 20 + "\n", "é" * 20, "x" * 20 + "\t"]
)
def test_other_schemes_refuse_an_invalid_secret(scheme, secret):
    message = refused("third", *BASE, "--webhook-auth", scheme, "--webhook-secret", secret)

    assert "--webhook-secret" in message
    assert secret not in message


def test_a_stripe_secret_is_not_valid_for_standard_webhooks():
    assert "whsec_<base64>" in refused("third", *BASE, "--webhook-secret", "whsec_of Stripe's own alphabet")


def test_a_url_with_a_token_is_described():
    printed = made("createprovider", "third", *BASE, "--webhook-auth", "url-token")

    assert printed["webhook_url"].startswith("http://testserver/webhooks/third/<")
    assert Provider.objects.get().webhook_auth == "url-token"


@pytest.mark.parametrize("scheme", ["none", "", "Standard"])
def test_it_refuses_an_unknown_scheme(scheme):
    assert "--webhook-auth" in refused("third", *BASE, "--webhook-auth", scheme)


def test_it_refuses_an_unknown_adapter():
    assert "--adapter" in refused("third", *BASE, "--adapter", "soap")


def test_it_also_prints_the_secret_as_text():
    printed = said("createprovider", "third", *BASE)

    assert WebhookSecret.objects.get().secret in printed
    assert "http://testserver/webhooks/third" in printed


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("create_timeout", "20", 20.0),
        ("first_poll", "0.05", 0.05),
        ("poll_growth", "1.5", 1.5),
        ("create_retries", "0", 0),
        ("max_in_flight", "7", 7),
        ("max_calls_per_second", "2.5", 2.5),
        ("status_field", "data.state", "data.state"),
        ("webhook_id_field", "data.ref", "data.ref"),
        ("webhook_signature_header", "X-Hub-Signature-256", "X-Hub-Signature-256"),
        ("webhook_signature_prefix", "", ""),
        ("webhook_allowed_ips", "192.0.2.0/24, 2001:db8::1", "192.0.2.0/24, 2001:db8::1"),
        ("create_path", "/v2/create", "/v2/create"),
        ("status_path", "/v2/{id}/state", "/v2/{id}/state"),
        ("status_map", '{"OK": "completed"}', {"OK": "completed"}),
        ("headers", '{"X-Api-Key": "a=b"}', {"X-Api-Key": "a=b"}),
        ("create_body", '{"ref": "{id}", "n": 1}', {"ref": "{id}", "n": 1}),
    ],
)
def test_it_takes_settings(name, text, value):
    assert getattr(provider(**{name: text}), name) == value


@pytest.mark.parametrize("name", ["check_before_create", "circuit_breaker", "paused"])
@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False)]
)
def test_it_accepts_booleans_as_written_in_json_and_python(name, text, value):
    assert getattr(provider(**{name: text}), name) == value


def test_the_last_of_two_settings_counts():
    made("createprovider", "third", *BASE, "--set", "max_in_flight=1", "--set", "max_in_flight=2")

    assert Provider.objects.get().max_in_flight == 2


@pytest.mark.parametrize(
    "setting",
    [
        "create_timeout=0", "create_timeout=-1", "create_timeout=soon", "create_timeout=", "create_timeout=nan",
        "create_timeout=inf", "first_poll=-0.1", "first_poll=nan", "second_poll=0", "poll_growth=0.5",
        "poll_growth=nan", "poll_cap=0", "settle_window=-1", "track_for=nan", "create_retries=-1", "create_retries=1.5",
        "create_retries=99999999999", "max_in_flight=0", "max_in_flight=-1", "max_in_flight=x", "paused=maybe",
        "max_calls_per_second=0", "max_calls_per_second=0.1", "max_calls_per_second=nan", "circuit_breaker=perhaps",
        "status_map=[]", 'status_map={"OK": 1}', 'status_map={"OK": "done"}', "status_map={", "status_map=null",
        "headers=[]", 'headers={"a": 1}', 'headers={"a b": "c"}', 'headers={"a": "b\\r\\nc: d"}',
        "create_body=[]", 'create_body={"a": "{nothing}"}', "create_body=", "status_path=transactions",
        "status_path=/{nothing}", "status_path=/a?b", "create_path=", "status_field=",
        "webhook_signature_header=", "webhook_signature_header=X Signature", "webhook_signature_header=X-Signature:",
        "webhook_signature_prefix=a b", "webhook_signature_prefix=é", "webhook_allowed_ips=192.0.2.1/24",
        "webhook_allowed_ips=192.0.2.0/33", "webhook_allowed_ips=third.example", "webhook_allowed_ips=1.2.3.4,",
        "webhook_allowed_ips=1", "id=1", "slug=x", "base_url=https://x.example", "created_at=2026-01-01",
        "webhook_secrets=x", "nothing=1", "paused",
    ],
)  # fmt: skip
def test_it_refuses_an_invalid_setting(setting):
    assert setting.partition("=")[0] in refused("third", *BASE, "--set", setting)


def test_it_refuses_timeouts_that_exceed_the_lease_of_a_create(settings):
    settings.CREATE_LEASE = 60.0

    assert "CREATE_LEASE" in refused("third", *BASE, "--set", "create_timeout=42.1")
    assert provider(create_timeout="42").create_timeout == 42


@pytest.mark.parametrize(
    "slug", ["", "Third", "third_party", "-third", "third party", "third/x", "thírd", "x" * 51, "third\n"]
)
def test_it_refuses_an_invalid_slug(slug):
    assert "slug" in refused(*BASE, "--", slug)


def test_it_refuses_a_slug_that_is_taken():
    provider()

    with pytest.raises(CommandError, match="slug"):
        said("createprovider", "third", *BASE)
    assert (Provider.objects.count(), WebhookSecret.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "url", ["", "third.example", "ftp://third.example", "http://third.example", "https://u:p@third.example"]
)
def test_it_refuses_an_invalid_url(url):
    assert "base_url" in refused("third", "--base-url", url)


def test_the_error_names_every_invalid_field():
    message = refused("Third", "--base-url", "third.example", "--set", "max_in_flight=0")

    assert all(name in message for name in ("slug", "base_url", "max_in_flight"))


def test_what_it_prints_can_be_read_back():
    assert json.loads(said("createprovider", "third", *BASE, "--json"))["provider"] == "third"
