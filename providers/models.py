"""Providers: the third parties at which transactions are created, and how each one is spoken to."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from providers.fields import (
    validate_finite,
    validate_header_name,
    validate_headers,
    validate_networks,
    validate_path,
    validate_status_map,
    validate_text_secret,
)
from workers.foundation.encryption import EncryptedJSON, SecretUnreadable
from workers.foundation.fields import HttpUrlField, TemplateValidator, validate_secret, validate_slug
from workers.kinds import LEASE_MARGIN
from workers.lanes import Lane

READ_TIMEOUT = 15.0
"""Seconds for a look; the slowest known answers take 10."""
BEFORE_CREATE = READ_TIMEOUT + LEASE_MARGIN
"""Seconds of a lease that are not the create's: a look before it, and some to settle."""
ORDER_FIELDS = ("id", "amount", "currency", "reference", "webhook_url")


def default_create_body() -> dict[str, str]:
    return {name: f"{{{name}}}" for name in ORDER_FIELDS}


def _seconds(default: float, help_text: str, *, least: float = 0.0) -> "models.FloatField[float, float]":
    limits: list[Callable[[Any], None]] = [validate_finite, MinValueValidator(least), MaxValueValidator(31_536_000.0)]
    return models.FloatField(default=default, help_text=f"Seconds. {help_text}", validators=limits)


class Provider(models.Model):
    """A third party. Every setting takes effect within two seconds in all processes."""

    class Auth(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks signature"
        HMAC_SHA256 = "hmac-sha256", "HMAC-SHA256 of the body in a header"
        STRIPE = "stripe", "Stripe's signature"
        URL_TOKEN = "url-token", "token in the webhook's address"

    slug = models.CharField(max_length=50, unique=True, validators=[validate_slug])
    adapter = models.CharField(max_length=20, choices=[("http", "http")], default="http")

    # How it is called
    base_url = HttpUrlField()
    create_path = models.CharField(max_length=255, default="/transactions", validators=[validate_path])
    status_path = models.CharField(max_length=255, default="/transactions/{id}", validators=[validate_path])
    create_body = models.JSONField(default=default_create_body, validators=[TemplateValidator(*ORDER_FIELDS)])
    headers = EncryptedJSON(
        default=dict, blank=True, validators=[validate_headers],
        help_text="Fixed request headers, such as the provider's API key; stored encrypted",
    )  # fmt: skip
    status_field = models.CharField(max_length=100, default="status", help_text="Dotted path in its answers")
    status_map = models.JSONField(
        default=dict, blank=True, validators=[validate_status_map],
        help_text="Its words for pending, completed, declined, failed. Empty: these words themselves",
    )  # fmt: skip

    # When it is called
    create_timeout = _seconds(35, "How long a create may take to answer", least=0.1)
    settle_window = _seconds(120, "How long after its start an unanswered create may still take effect")
    create_retries = models.PositiveSmallIntegerField(default=3, help_text="Creates after the first unknown one")
    create_retry_delay = _seconds(120, "From an unknown create to the next look and try")
    first_poll = _seconds(0.2, "From acceptance to the first poll")
    second_poll = _seconds(0.01, "From the first poll to the second", least=0.001)
    poll_growth = models.FloatField(
        default=2,
        validators=[validate_finite, MinValueValidator(1.0), MaxValueValidator(100.0)],
        help_text="Factor between polls",
    )
    poll_cap = _seconds(3600, "The longest wait between polls", least=0.01)
    track_for = _seconds(86400, "Without a final status for so long, an operator must look")
    track_grace = _seconds(604800, "After that, polling goes on for so long")
    max_in_flight = models.PositiveIntegerField(
        default=200, validators=[MinValueValidator(1)], help_text="Calls at a time, over all workers"
    )
    max_calls_per_second = models.FloatField(
        null=True, blank=True,
        validators=[validate_finite, MinValueValidator(0.2), MaxValueValidator(10_000.0)],
        help_text="Spread evenly, over all workers; a create is two calls with the look before it. Empty: no limit",
    )  # fmt: skip
    circuit_breaker = models.BooleanField(
        default=True, db_default=True,
        help_text="While most creates, or most polls, fail: hold them back, but for a try every few seconds",
    )  # fmt: skip
    check_before_create = models.BooleanField(default=True, help_text="Look for the transaction before creating it")
    paused = models.BooleanField(default=False, help_text="No calls; what is due waits, nothing is lost")
    paused_why = models.CharField(max_length=255, blank=True, default="")

    # How it calls us
    webhook_auth = models.CharField(max_length=20, choices=Auth.choices, default=Auth.STANDARD)
    webhook_signature_header = models.CharField(
        max_length=100, default="X-Signature", db_default="X-Signature", validators=[validate_header_name],
        help_text="For hmac-sha256: the header with the digest, in hex or base64",
    )  # fmt: skip
    webhook_signature_prefix = models.CharField(
        max_length=50, default="sha256=", db_default="sha256=", blank=True,
        validators=[RegexValidator(r"^[\x21-\x7e]*\Z", "Use visible ASCII characters, and no spaces.")],
        help_text="For hmac-sha256: what may stand before the digest",
    )  # fmt: skip
    webhook_allowed_ips = models.CharField(
        max_length=2000, default="", db_default="", blank=True, validators=[validate_networks],
        help_text="Addresses and networks (192.0.2.0/24, 2001:db8::/32) that its webhooks come from. Empty: any",
    )  # fmt: skip
    webhook_id_field = models.CharField(max_length=100, default="id", help_text="Dotted path in its webhooks")
    webhook_status_field = models.CharField(max_length=100, default="status", help_text="Dotted path in its webhooks")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["slug"]
        permissions = [
            ("pause_provider", "Can pause a provider"),
            ("resume_provider", "Can resume a provider"),
            ("open_breaker", "Can open a circuit breaker"),
            ("close_breaker", "Can close a circuit breaker"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def lane(self) -> Lane:
        """The lane of its calls."""
        return Lane.provider(self.pk)

    def clean(self) -> None:
        longest = longest_create_timeout()
        if self.create_timeout is not None and self.create_timeout > longest:
            message = f"At most {longest:g} seconds fit into a job's lease; raise CREATE_LEASE for more."
            raise ValidationError({"create_timeout": message})
        if self.webhook_auth == self.Auth.STANDARD and not self._can_sign():
            message = "It has secrets of another scheme only: add a new one first, which all schemes take."
            raise ValidationError({"webhook_auth": message})

    def _can_sign(self) -> bool:
        """Whether one of its live secrets, if there are any, is one of Standard Webhooks."""
        live = Q(expires_at=None) | Q(expires_at__gt=Now())
        try:
            secrets = list(self.webhook_secrets.filter(live).values_list("secret", flat=True)) if self.pk else []
        except SecretUnreadable:  # that stops its webhooks, and must stop no other setting
            return True
        return not secrets or any(_fits(self.Auth.STANDARD, secret) for secret in secrets)


def longest_create_timeout() -> float:
    """Seconds that a create may take so that a look before it and the create end within the job's lease."""
    return float(settings.CREATE_LEASE) - BEFORE_CREATE


def validate_webhook_secret(scheme: str, secret: str) -> None:
    """Raise ValidationError unless webhooks of this scheme can be signed with the secret.

    Standard Webhooks writes the key in base64. In all other schemes the text is the key, whatever it looks like:
    Stripe's secrets begin with whsec_, too.
    """
    if scheme in (Provider.Auth.STRIPE, Provider.Auth.HMAC_SHA256):
        validate_text_secret(secret)
    else:
        validate_secret(secret)


def _fits(scheme: str, secret: str) -> bool:
    try:
        validate_webhook_secret(scheme, secret)
    except ValidationError:
        return False
    return True


class WebhookSecret(models.Model):
    """A secret with which a provider signs its webhooks, see `validate_webhook_secret`. Several live ones are accepted:
    rotation."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="webhook_secrets")
    secret = EncryptedJSON(validators=[validate_text_secret])
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"webhook secret {self.pk}"
