"""Validators of the providers' settings."""

import math
import re
from collections import Counter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from providers.addresses import networks
from providers.status import Status
from workers.foundation.template import placeholders

validate_text_secret = RegexValidator(
    r"^[\x21-\x7e][\x20-\x7e]{14,253}[\x21-\x7e]\Z",
    "A secret of this scheme has 16 to 255 ASCII characters, without spaces at its ends.",
)
validate_header_name = RegexValidator(  # RFC 9110, 5.1. A code of its own: form fields replace the message of "invalid"
    r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z", "%(value)r is not the name of an HTTP header.", "header_name"
)


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


_CONNECTION = "belongs to the connection, and a fixed value would break the calls"
_CONDITIONAL = "makes the provider send incomplete answers or none"
RESERVED_HEADERS = {
    "idempotency-key": "is the id of the transaction: with a fixed one the provider would take all creates for one",
    **dict.fromkeys(
        ("connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te",
         "trailer", "transfer-encoding", "upgrade"),
        _CONNECTION,
    ),
    **dict.fromkeys(
        ("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"), _CONDITIONAL
    ),
}  # fmt: skip
"""Headers that cannot have a fixed value, with reasons. `Content-Type` and `Cookie` can: some providers need them."""


def validate_headers(value: Any) -> None:
    """Raise ValidationError unless `value` is a JSON object of HTTP headers (RFC 9110, 5.1 and 5.5)."""
    validate_words(value)
    for name, content in value.items():
        validate_header_name(name)
        if reason := RESERVED_HEADERS.get(name.lower()):
            raise ValidationError(f"{name} {reason}; leave it out.")
        if not re.fullmatch(r"[\t\x20-\x7e]*", content):
            raise ValidationError(f"The value of {name} must consist of ASCII characters without line breaks.")
    names = Counter(name.lower() for name in value)
    if repeated := sorted(name for name, count in names.items() if count > 1):
        raise ValidationError(f"Named more than once, in different case: {', '.join(repeated)}.")


def validate_status_map(value: Any) -> None:
    """Raise ValidationError unless `value` is a JSON object from a provider's names of statuses to ours."""
    validate_words(value)
    if strange := set(value.values()) - set(Status.values):
        raise ValidationError(f"Unknown status: {', '.join(sorted(strange))}. Use {', '.join(Status.values)}.")


def validate_finite(value: float) -> None:
    """Raise ValidationError for NaN and infinities, which comparisons with bounds let through."""
    if not math.isfinite(value):
        raise ValidationError("Give a finite number.")


def validate_path(path: str) -> None:
    """Raise ValidationError unless `path` starts with a slash and its only placeholder is {id}."""
    if not re.fullmatch(r"/[^\s?#]*", path.replace("{id}", "id")) or placeholders(path) - {"id"}:
        raise ValidationError("Give a path that starts with /; {id} is the place of the id.")


def validate_status_path(path: str) -> None:
    """Raise ValidationError unless `path` is a path with {id}: without it all transactions would have one status."""
    validate_path(path)
    if "{id}" not in path:
        raise ValidationError("Give a path with {id}, the place of the id.")


def validate_base_url(url: str) -> None:
    """Raise ValidationError if a path cannot be appended to `url`, because it has a query or a fragment."""
    if "?" in url or "#" in url:
        raise ValidationError("Give an address without ? and #: the paths are appended to it.")
