"""The fields of the API's bodies, each checked as strictly as its description says."""

import json
import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transactions.currencies import CURRENCIES
from transactions.text import storable

MAX_AMOUNT = 10**15
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 4096
CLIENT_REF = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
CLIENT_REF_SCHEMA = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$", "minLength": 1, "maxLength": 64}
SLUG = r"^[a-z0-9][a-z0-9-]*\Z"
LONGEST_SLUG = 50
STORABLE = {"type": "string", "pattern": r"^[^\u0000]*$"}


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_AMOUNT})
class Amount(serializers.Field[int, Any, int, Any]):
    """A JSON integer: 1.5, "1" and true are none. (1.0 is none either: amounts are never floats.)"""

    default_error_messages = {
        "type": "An integer number of minor units, written without quotes, point or exponent.",
        "range": "From 1 to 10^15.",
    }

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("type")
        if not 1 <= data <= MAX_AMOUNT:
            self.fail("range")
        return data


class Text(serializers.Field[str, Any, str, Any]):
    """A JSON string that the database can hold, of at most `longest` characters."""

    longest: int
    default_error_messages = {
        "type": "A string.",
        "length": "At most {longest} characters.",
        "unstorable": "It must not contain NUL or half of a surrogate pair.",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        if len(data) > self.longest:
            self.fail("length", longest=self.longest)
        if not storable(data):
            self.fail("unstorable")
        return data


@extend_schema_field(CLIENT_REF_SCHEMA)
class ClientRef(Text):
    """A client's own id of a transaction."""

    longest = 64
    default_error_messages = {"invalid": "1 to 64 characters of A-Z a-z 0-9 . _ : -"}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not CLIENT_REF.match(text):
            self.fail("invalid")
        return text


@extend_schema_field({"type": "string", "enum": sorted(CURRENCIES)})
class Currency(Text):
    """An alphabetic code of ISO 4217."""

    longest = 3
    default_error_messages = {"invalid": "An ISO 4217 code in upper case, such as EUR."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if text not in CURRENCIES:
            self.fail("invalid")
        return text


@extend_schema_field({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": LONGEST_SLUG})
class ProviderSlug(Text):
    """A provider's name in addresses; whether there is such a provider is checked with the order."""

    longest = LONGEST_SLUG


@extend_schema_field(STORABLE | {"maxLength": 255})
class Reference(Text):
    """What the provider gets to see beside the amount."""

    longest = 255


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": STORABLE,
        "propertyNames": STORABLE,
        "maxProperties": MAX_METADATA_KEYS,
    }
)
class Metadata(serializers.Field[dict[str, str], Any, dict[str, str], Any]):
    """A flat JSON object of strings."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
            raise serializers.ValidationError("A flat object of strings.")
        if len(data) > MAX_METADATA_KEYS:
            raise serializers.ValidationError(f"At most {MAX_METADATA_KEYS} keys.")
        if not all(storable(text) for pair in data.items() for text in pair):
            raise serializers.ValidationError("It must not contain NUL or half of a surrogate pair.")
        if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(f"At most {MAX_METADATA_BYTES} bytes of JSON in all.")
        return data
