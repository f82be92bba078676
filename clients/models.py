"""Clients, their API keys and their callback secrets."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from uuid import uuid4

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property

from workers.foundation.encryption import EncryptedJSON
from workers.foundation.fields import HttpUrlField, TemplateValidator, not_expired, validate_secret

KEY_PREFIX = "txk_"
BY_STAFF = "by staff"
"""The reason of a disabled endpoint that only staff may enable."""
UNSIGNED = "has no valid callback secret: its notifications wait, because none is sent unsigned"
RATE = r"^(none|[1-9][0-9]{0,8}/(second|minute|hour))?\Z"
"""A rate, in a notation that PostgreSQL and Python read alike. Empty is the service's default, `none` is no limit."""
validate_rate = RegexValidator(RATE, "Give requests per second, minute or hour, such as 100/second; or none.")
CALLBACK_FIELDS = ("id", "status", "sequence", "amount", "currency", "reference", "provider_transaction_id")


class Client(models.Model):
    """A consumer of the API. Its endpoint receives the notifications of its transactions."""

    class Method(models.TextChoices):
        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"

    name = models.CharField(max_length=100, unique=True)
    namespace = models.UUIDField(
        default=uuid4, unique=True, editable=False,
        help_text="Namespace of the ids that providers get for its transactions; never changes",
    )  # fmt: skip
    default_provider = models.ForeignKey(
        "providers.Provider", on_delete=models.PROTECT, null=True, blank=True, related_name="+",
        help_text="The provider of transactions whose POST names none",
    )  # fmt: skip
    callback_url = HttpUrlField(help_text="Notifications are sent here")
    callback_method = models.CharField(max_length=5, choices=Method.choices, default=Method.POST)
    callback_body = models.JSONField(
        null=True, blank=True, validators=[TemplateValidator(*CALLBACK_FIELDS)],
        help_text="Empty: the standard notification. Otherwise a JSON object with "
        + ", ".join(f"{{{name}}}" for name in CALLBACK_FIELDS),
    )  # fmt: skip
    enabled = models.BooleanField(default=True, help_text="A disabled client's requests are answered 403")
    rate_limit = models.CharField(
        max_length=20, blank=True, default="", db_default="", validators=[validate_rate],
        help_text="Limit on requests over all web processes, such as 100/second or 6000/minute; none: no limit. "
        "Empty: the service's CLIENT_RATE_LIMIT",
    )  # fmt: skip
    endpoint_failing_since = models.DateTimeField(
        null=True, blank=True, help_text="Time of the first failed delivery since the last confirmed one"
    )
    endpoint_disabled_at = models.DateTimeField(null=True, blank=True)
    endpoint_disabled_why = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        # The hot path does not validate the rate again.
        constraints = [models.CheckConstraint(condition=models.Q(rate_limit__regex=RATE), name="client_rate_limit")]
        permissions = [
            ("disable_endpoint", "Can disable a client's endpoint"),
            ("enable_endpoint", "Can enable a client's endpoint"),
        ]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def lacks_secret(self) -> bool:
        """True if `without_callback_secret` holds. Queries of many rows annotate it."""
        return Client.objects.filter(without_callback_secret(), pk=self.pk).exists()


class ApiKey(models.Model):
    """A key of a client. Only its SHA-256 is stored: the key has 256 random bits, so no slow hash is needed."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, default="first key")
    prefix = models.CharField(max_length=12, help_text="The first characters, which tell keys apart")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute")

    class Meta:
        ordering = ["id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @staticmethod
    def digest_of(key: str) -> str:
        """Return the SHA-256 of a key, in hexadecimal."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def create_for(cls, client: Client, **fields: Any) -> str:
        """Create a key for this client and return it. Only its digest is stored, so it cannot be shown again."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        cls.objects.create(client=client, prefix=key[:12], digest=cls.digest_of(key), **fields)
        return key


class CallbackSecret(models.Model):
    """A secret that signs a client's notifications (`whsec_…`). During a rotation, several live secrets sign."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="callback_secrets")
    secret = EncryptedJSON(validators=[validate_secret])
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"callback secret {self.pk}"


def without_callback_secret() -> models.Q:
    """Return the condition that a client has no live secret: its notifications wait, because none is sent unsigned."""
    return models.Q(~models.Exists(CallbackSecret.objects.filter(not_expired(), client=models.OuterRef("pk"))))
