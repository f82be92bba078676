"""Secrets as the commands store them in the tables."""

import hashlib

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from clients.models import ApiKey, CallbackSecret
from providers.models import Provider, WebhookSecret
from tests.management import made
from workers.foundation.encryption import SecretUnreadable

pytestmark = pytest.mark.django_db

API_KEY = "the-providers-own-api-key"


@pytest.fixture
def secrets() -> list[str]:
    """Return every secret that the commands have printed, and the provider's own API key."""
    provider = made("createprovider", "third", "--base-url", "https://third.example")
    Provider.objects.update(headers={"Authorization": API_KEY})
    client = made("createclient", "alice", "--callback-url", "https://client.example", "--provider", "third")
    return [API_KEY, provider["webhook_secret"], client["api_key"], client["callback_secret"]]


def tables() -> str:
    """Return every row of every table as text."""
    found = []
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT whole::text FROM "{name}" AS whole')  # noqa: S608  our own tables' names
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_no_secret_is_in_any_table(secrets):
    whole = tables()

    assert "alice" in whole and "third.example" in whole
    for secret in secrets:
        assert secret not in whole
        assert secret.removeprefix("whsec_").removeprefix("txk_") not in whole


def test_only_the_sha_256_of_a_key_is_stored(secrets):
    key = next(secret for secret in secrets if secret.startswith("txk_"))

    stored = ApiKey.objects.get()
    assert stored.digest == hashlib.sha256(key.encode()).hexdigest()
    assert stored.prefix == key[:12]
    assert len(key) >= 12 + 32  # what the prefix leaves unknown is far more than can be guessed


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("providers_webhooksecret", "secret"),
        ("clients_callbacksecret", "secret"),
        ("providers_provider", "headers"),
    ],
)
def test_secrets_are_encrypted_by_the_first_key(secrets, settings, table, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608
        (stored,) = cursor.fetchone()

    assert any(secret in Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(stored).decode() for secret in secrets)


def test_secrets_are_decrypted_unchanged(secrets):
    assert Provider.objects.get().headers == {"Authorization": API_KEY}
    assert WebhookSecret.objects.get().secret in secrets
    assert CallbackSecret.objects.get().secret in secrets


def test_secrets_are_decrypted_while_the_keys_are_rotated(secrets, settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]

    assert WebhookSecret.objects.get().secret in secrets


def test_secrets_cannot_be_decrypted_without_their_key(secrets, settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(SecretUnreadable):
        WebhookSecret.objects.get()
