"""Field types and validators that several models share."""

import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from transactions.addresses import networks
from transactions.signing import secret_bytes
from transactions.status import Status
from transactions.template import placeholders

HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"

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
    if parts.scheme == "http" and parts.hostname not in settings.OUTBOUND_ALLOWED_HOSTS:
        raise ValidationError("Plain http is only allowed to hosts named in OUTBOUND_ALLOWED_HOSTS; use https.")


def validate_secret(secret: str) -> None:
    """Raise ValidationError unless `secret` is `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks)."""
    try:
        size = len(secret_bytes(secret))
    except ValueError as error:
        raise ValidationError("A secret reads whsec_<base64>.") from error
    if not 24 <= size <= 64:
        raise ValidationError(f"A secret has 24 to 64 bytes; this one has {size}.")


def validate_text_secret(secret: str) -> None:
    """Raise ValidationError unless `secret` is 16 to 255 ASCII characters, as providers hand out."""
    if not re.fullmatch(r"[\x21-\x7e][\x20-\x7e]{14,253}[\x21-\x7e]", secret):
        raise ValidationError("A secret of this scheme has 16 to 255 ASCII characters, with no space at its ends.")


def validate_header_name(name: str) -> None:
    """Raise ValidationError unless `name` is the name of an HTTP header (RFC 9110, 5.1)."""
    if not re.fullmatch(HEADER_NAME, name):
        raise ValidationError(f"{name!r} is no name of a header.")


def validate_networks(text: str) -> None:
    """Raise ValidationError unless `text` is a comma separated list of IP addresses and networks."""
    try:
        networks(text)
    except ValueError as error:
        raise ValidationError(f"Give addresses or networks such as 192.0.2.0/24, 2001:db8::/32: {error}.") from error


def validate_words(value: Any) -> None:
    """Raise ValidationError unless `value` is a JSON object of strings."""
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise ValidationError('Give a JSON object of strings: {"name": "value"}.')


def validate_headers(value: Any) -> None:
    """Raise ValidationError unless `value` is a JSON object of HTTP headers (RFC 9110, 5.1 and 5.5)."""
    validate_words(value)
    for name, content in value.items():
        validate_header_name(name)
        if not re.fullmatch(r"[\t\x20-\x7e]*", content):
            raise ValidationError(f"The value of {name} can only have ASCII characters, and no line breaks.")


def validate_status_map(value: Any) -> None:
    """Raise ValidationError unless `value` is a JSON object from a provider's words to statuses."""
    validate_words(value)
    if strange := set(value.values()) - set(Status.values):
        raise ValidationError(f"No such status: {', '.join(sorted(strange))}. There are {', '.join(Status.values)}.")


def validate_finite(value: float) -> None:
    """Raise ValidationError for NaN and infinities, which no comparison keeps out."""
    if not math.isfinite(value):
        raise ValidationError("Give a finite number.")


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
        return ("transactions.fields.TemplateValidator", self.known, {})


def validate_path(path: str) -> None:
    """Raise ValidationError unless `path` starts with a slash and its only placeholder is {id}."""
    if not re.fullmatch(r"/[^\s?#]*", path.replace("{id}", "id")) or placeholders(path) - {"id"}:
        raise ValidationError("Give a path that starts with /, with {id} where the id goes.")


if TYPE_CHECKING:  # generic for the type checker only
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class HttpUrlField(_TextField):
    """An outbound address; see `validate_http_url`."""

    default_validators = [validate_http_url]
