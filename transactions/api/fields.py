"""Strict fields of the API's bodies; unlike those of DRF, they convert nothing."""

import json
import re
from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transactions.api.currencies import CURRENCIES
from transactions.models import CLIENT_REF
from workers.foundation.text import storable

MAX_AMOUNT = 10**15
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 4096
LONGEST_CLIENT_REF = 64
CLIENT_REF_SCHEMA = {"type": "string", "pattern": CLIENT_REF, "minLength": 1, "maxLength": LONGEST_CLIENT_REF}
SLUG = r"^[a-z0-9][a-z0-9-]*\Z"
LONGEST_SLUG = 50
STORABLE = {"type": "string", "pattern": r"^[^\u0000]*$"}
UNSTORABLE = "Must not contain NUL or half of a surrogate pair."


def is_client_ref(text: str) -> bool:
    """Return whether a transaction can have this id."""
    return len(text) <= LONGEST_CLIENT_REF and re.fullmatch(CLIENT_REF, text) is not None


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_AMOUNT})
class Amount(serializers.Field[int, Any, int, Any]):
    """A JSON integer. It refuses 1.5, "1" and true, and also 1.0: amounts are never floats."""

    default_error_messages = {
        "type": "Must be an integer number of minor units, without quotes, point or exponent.",
        "range": "Must be from 1 to 10^15.",
    }

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("type")
        if not 1 <= data <= MAX_AMOUNT:
            self.fail("range")
        return data


class Text(serializers.Field[str, Any, str, Any]):
    """A valid JSON string of at most `longest` characters that PostgreSQL can store."""

    longest: int
    accepts: Callable[[str], object] = staticmethod(lambda text: True)
    """Returns a true value if the text is valid; a subclass that refuses some defines the message `invalid`."""
    default_error_messages = {
        "type": "Must be a string.",
        "length": "Must have at most {longest} characters.",
        "unstorable": UNSTORABLE,
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        if len(data) > self.longest:
            self.fail("length", longest=self.longest)
        if not storable(data):
            self.fail("unstorable")
        if not self.accepts(data):
            self.fail("invalid")
        return data


@extend_schema_field(CLIENT_REF_SCHEMA)
class ClientRef(Text):
    """The client's own id of a transaction."""

    longest = LONGEST_CLIENT_REF
    accepts = staticmethod(is_client_ref)
    default_error_messages = {"invalid": "Must have 1 to 64 of the characters A-Z a-z 0-9 . _ : - and not be . or .."}


@extend_schema_field({"type": "string", "enum": sorted(CURRENCIES)})
class Currency(Text):
    """An alphabetic code of ISO 4217."""

    longest = 3
    accepts = CURRENCIES.__contains__
    default_error_messages = {"invalid": "Must be an ISO 4217 code in upper case, such as EUR."}


@extend_schema_field({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": LONGEST_SLUG})
class ProviderSlug(Text):
    """The slug of a provider; `NewTransaction.order` checks that the provider exists."""

    longest = LONGEST_SLUG


@extend_schema_field(STORABLE | {"maxLength": 255})
class Reference(Text):
    """Text that the provider receives with the amount."""

    longest = 255


@extend_schema_field(
    {"type": "object", "additionalProperties": STORABLE, "propertyNames": STORABLE, "maxProperties": MAX_METADATA_KEYS}
)
class Metadata(serializers.Field[dict[str, str], Any, dict[str, str], Any]):
    """A flat JSON object of strings."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
            raise serializers.ValidationError("Must be a flat object of strings.")
        if len(data) > MAX_METADATA_KEYS:
            raise serializers.ValidationError(f"Must have at most {MAX_METADATA_KEYS} keys.")
        if not all(storable(text) for pair in data.items() for text in pair):
            raise serializers.ValidationError(UNSTORABLE)
        if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(f"Must have at most {MAX_METADATA_BYTES} bytes as JSON.")
        return data
