"""Field types and validators that several models share."""

import math
import re
from typing import Any

from django.core.exceptions import ValidationError

from providers.addresses import networks
from providers.status import Status
from workers.foundation.template import placeholders

HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


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


def validate_path(path: str) -> None:
    """Raise ValidationError unless `path` starts with a slash and its only placeholder is {id}."""
    if not re.fullmatch(r"/[^\s?#]*", path.replace("{id}", "id")) or placeholders(path) - {"id"}:
        raise ValidationError("Give a path that starts with /, with {id} where the id goes.")
