"""Field types and validators that clients and providers share."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from workers.foundation.hosts import same_host
from workers.foundation.template import placeholders
from workers.foundation.webhook_secrets import secret_bytes

validate_slug = RegexValidator(r"^[a-z0-9][a-z0-9-]*\Z", "Use a-z, 0-9 and -, starting with a letter or digit.")


def validate_http_url(url: str) -> None:
    """Raise ValidationError unless `url` is https, or http to a host in OUTBOUND_ALLOWED_HOSTS."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises for a port that is none
    except ValueError as error:
        raise ValidationError(f"Not an address: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or " " in url:
        raise ValidationError("Give an address that starts with https://, percent-encoded where needed.")
    if parts.username or parts.password:
        raise ValidationError("An address must not contain a user or password.")
    if parts.scheme == "http" and same_host(parts.hostname) not in settings.OUTBOUND_ALLOWED_HOSTS:
        raise ValidationError("Plain http is only allowed to hosts named in OUTBOUND_ALLOWED_HOSTS; use https.")


def validate_secret(secret: str) -> None:
    """Raise ValidationError unless `secret` is `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks)."""
    try:
        size = len(secret_bytes(secret))
    except ValueError as error:
        raise ValidationError("A secret reads whsec_<base64>.") from error
    if not 24 <= size <= 64:
        raise ValidationError(f"A secret has 24 to 64 bytes; this one has {size}.")


class TemplateValidator:
    """Raises ValidationError unless the value is a JSON object whose placeholders are all among `known`."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def __call__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValidationError("Give a JSON object.")
        if unknown := placeholders(value) - set(self.known):
            names = ", ".join(f"{{{name}}}" for name in sorted(unknown))
            raise ValidationError(f"Unknown placeholder: {names}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TemplateValidator) and other.known == self.known

    def __hash__(self) -> int:
        return hash(self.known)

    def deconstruct(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        return ("workers.foundation.fields.TemplateValidator", self.known, {})


class HttpUrlField(models.TextField):  # type: ignore[type-arg]  # Django's class is not generic at run time
    """An outbound address; see `validate_http_url`."""

    default_validators = [validate_http_url]


def not_expired() -> Q:
    """Return the condition that a key or secret has not expired, by the database's clock."""
    return Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
