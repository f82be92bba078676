"""Providers: the third parties at which transactions are created."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property

from providers.fields import (
    validate_base_url,
    validate_finite,
    validate_header_name,
    validate_headers,
    validate_networks,
    validate_path,
    validate_status_map,
    validate_status_path,
    validate_text_secret,
)
from workers.foundation.checks import error_of
from workers.foundation.encryption import EncryptedJSON, SecretUnreadable
from workers.foundation.fields import HttpUrlField, TemplateValidator, not_expired, validate_secret, validate_slug
from workers.kinds import LEASE_MARGIN
from workers.lanes import Lane

READ_TIMEOUT = 15.0
"""Timeout of a status check in seconds; the slowest known answers take 10 s."""
BEFORE_CREATE = READ_TIMEOUT + LEASE_MARGIN
"""Seconds of a lease that a create cannot use: the status check before it, and the margin for the settle."""
UNVERIFIABLE = "has no valid webhook secret: all its webhooks are refused"
ORDER_FIELDS = ("id", "amount", "currency", "reference", "webhook_url")


def default_create_body() -> dict[str, str]:
    return {name: f"{{{name}}}" for name in ORDER_FIELDS}


def _seconds(default: float, help_text: str, *, least: float = 0.0) -> "models.FloatField[float, float]":
    limits: list[Callable[[Any], None]] = [validate_finite, MinValueValidator(least), MaxValueValidator(31_536_000.0)]
    return models.FloatField(default=default, help_text=f"Seconds. {help_text}", validators=limits)


class Provider(models.Model):
    """A third party with its settings, which take effect within two seconds in all processes.

    Durations are in seconds. `repr` shows only the slug, so a log or a traceback that shows a provider shows no secret.
    """

    class Auth(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks signature"
        HMAC_SHA256 = "hmac-sha256", "HMAC-SHA256 of the body in a header"
        STRIPE = "stripe", "Stripe's signature"
        URL_TOKEN = "url-token", "token in the webhook URL"

    slug = models.CharField(max_length=50, unique=True, validators=[validate_slug])
    adapter = models.CharField(max_length=20, choices=[("http", "http")], default="http")

    # Calls to the provider
    base_url = HttpUrlField(validators=[validate_base_url])
    create_path = models.CharField(max_length=255, default="/transactions", validators=[validate_path])
    status_path = models.CharField(max_length=255, default="/transactions/{id}", validators=[validate_status_path])
    create_body = models.JSONField(default=default_create_body, validators=[TemplateValidator(*ORDER_FIELDS)])
    headers = EncryptedJSON(
        default=dict, blank=True, validators=[validate_headers],
        help_text="Fixed request headers, such as the provider's API key; stored encrypted",
    )  # fmt: skip
    status_field = models.CharField(max_length=100, default="status", help_text="Dotted path of the status in answers")
    status_map = models.JSONField(
        default=dict, blank=True, validators=[validate_status_map],
        help_text="Provider's names of pending, completed, declined and failed. Empty: the same names",
    )  # fmt: skip

    # Times and limits of the calls
    create_timeout = _seconds(35, "Timeout of a create", least=0.1)
    settle_window = _seconds(120, "Time from the start of an unanswered create during which it may still take effect")
    create_retries = models.PositiveSmallIntegerField(default=3, help_text="Creates after the first unanswered one")
    create_retry_delay = _seconds(120, "From an unanswered create to the next status check and retry")
    first_poll = _seconds(0.2, "From acceptance to the first poll")
    second_poll = _seconds(0.01, "From the first poll to the second", least=0.001)
    poll_growth = models.FloatField(
        default=2,
        validators=[validate_finite, MinValueValidator(1.0), MaxValueValidator(100.0)],
        help_text="Factor between the delays of polls",
    )
    poll_cap = _seconds(3600, "Longest delay between polls", least=0.01)
    track_for = _seconds(86400, "Time without a final status after which the transaction needs review")
    track_grace = _seconds(604800, "Time for which polling continues after that")
    max_in_flight = models.PositiveIntegerField(
        default=200, validators=[MinValueValidator(1)], help_text="Concurrent calls, over all workers"
    )
    max_calls_per_second = models.FloatField(
        null=True, blank=True,
        validators=[validate_finite, MinValueValidator(0.2), MaxValueValidator(10_000.0)],
        help_text="Spread evenly, over all workers; a create and its status check are two calls. Empty: no limit",
    )  # fmt: skip
    circuit_breaker = models.BooleanField(
        default=True, db_default=True,
        help_text="While most creates or most polls fail, hold them back except for a probe every few seconds",
    )  # fmt: skip
    check_before_create = models.BooleanField(default=True, help_text="Check the status before each create")
    paused = models.BooleanField(default=False, help_text="No calls are made; due jobs wait")
    paused_why = models.CharField(max_length=255, blank=True, default="")
    denied_at = models.DateTimeField(null=True, editable=False, help_text="Last 403")
    denied_id = models.UUIDField(null=True, editable=False, help_text="The transaction that was denied then")

    # Calls from the provider
    webhook_auth = models.CharField(max_length=20, choices=Auth.choices, default=Auth.STANDARD)
    webhook_signature_header = models.CharField(
        max_length=100, default="X-Signature", db_default="X-Signature", validators=[validate_header_name],
        help_text="For hmac-sha256: the header that contains the digest in hex or base64",
    )  # fmt: skip
    webhook_signature_prefix = models.CharField(
        max_length=50, default="sha256=", db_default="sha256=", blank=True,
        validators=[RegexValidator(r"^[\x21-\x7e]*\Z", "Use visible ASCII characters without spaces.")],
        help_text="For hmac-sha256: optional text before the digest",
    )  # fmt: skip
    webhook_allowed_ips = models.CharField(
        max_length=2000, default="", db_default="", blank=True, validators=[validate_networks],
        help_text="Addresses and networks that may send webhooks, such as 192.0.2.0/24, 2001:db8::/32. Empty: any",
    )  # fmt: skip
    webhook_id_field = models.CharField(max_length=100, default="id", help_text="Dotted path in webhooks")
    webhook_status_field = models.CharField(max_length=100, default="status", help_text="Dotted path in webhooks")
    created_at = models.DateTimeField(db_default=Now())

    live_secrets: tuple[str, ...] = ()
    """Webhook secrets that have not expired; `providers.settings` reads them."""

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
        """Return the lane of the calls to the provider."""
        return Lane.provider(self.pk)

    @cached_property
    def lacks_secret(self) -> bool:
        """True if `without_webhook_secret` holds. Queries of many rows annotate it."""
        return Provider.objects.filter(without_webhook_secret(), pk=self.pk).exists()

    def clean(self) -> None:
        longest = longest_create_timeout()
        if self.create_timeout is not None and self.create_timeout > longest:
            message = f"At most {longest:g} seconds fit into a job's lease; raise CREATE_LEASE to allow more."
            raise ValidationError({"create_timeout": message})
        if self.webhook_auth == self.Auth.STANDARD and not self._can_sign():
            message = "All secrets are of another scheme: first add a new secret, which all schemes accept."
            raise ValidationError({"webhook_auth": message})

    def _can_sign(self) -> bool:
        """Return whether a live secret is one of Standard Webhooks, or there are no live secrets."""
        try:
            secrets = [one.secret for one in self.webhook_secrets.filter(not_expired())] if self.pk else []
        except SecretUnreadable:  # this stops the webhooks, but must not keep other settings from being changed
            return True
        return not secrets or any(not error_of(validate_secret, secret) for secret in secrets)


def longest_create_timeout() -> float:
    """Return the longest create timeout in seconds that fits into a lease, together with the status check before it."""
    return float(settings.CREATE_LEASE) - BEFORE_CREATE


def validate_webhook_secret(scheme: str, secret: str) -> None:
    """Raise ValidationError unless webhooks of this scheme can be signed with the secret.

    A secret of Standard Webhooks contains the key in base64. In all other schemes the text is the key, even if it
    begins with whsec_, as Stripe's secrets do.
    """
    text_schemes = (Provider.Auth.STRIPE, Provider.Auth.HMAC_SHA256)
    (validate_text_secret if scheme in text_schemes else validate_secret)(secret)


class WebhookSecret(models.Model):
    """A secret with which a provider signs its webhooks; see `validate_webhook_secret`.

    Several secrets can be live at the same time, so that they can be rotated.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="webhook_secrets")
    secret = EncryptedJSON(validators=[validate_text_secret])
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"webhook secret {self.pk}"


def without_webhook_secret() -> models.Q:
    """Return the condition that a provider's webhooks are all refused: its scheme needs a secret, and none is live."""
    live = WebhookSecret.objects.filter(not_expired(), provider=models.OuterRef("pk"))
    return ~models.Q(webhook_auth=Provider.Auth.URL_TOKEN) & models.Q(~models.Exists(live))
