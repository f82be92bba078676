"""What a client may send, checked field by field, and what it gets."""

import json
import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transactions.config import ClientSettings, ProviderSettings, provider_by_id, provider_by_slug
from transactions.currencies import CURRENCIES
from transactions.services import Order
from transactions.status import Source, Status
from transactions.text import storable

MAX_AMOUNT = 10**15
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 4096
CLIENT_REF = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


@extend_schema_field(OpenApiTypes.INT64)
class StrictInteger(serializers.Field[int, Any, int, Any]):
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


@extend_schema_field(OpenApiTypes.STR)
class Text(serializers.Field[str, Any, str, Any]):
    """A JSON string that the database can hold, of at most `longest` characters, matching `pattern` where given."""

    default_error_messages = {
        "type": "A string.",
        "length": "At most {longest} characters.",
        "unstorable": "It must not contain NUL or half of a surrogate pair.",
    }

    def __init__(self, *, longest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        if len(data) > self.longest:
            self.fail("length", longest=self.longest)
        if not storable(data):
            self.fail("unstorable")
        return data


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": MAX_METADATA_KEYS})
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


class NewTransaction(serializers.Serializer[Order]):
    """The body of `POST /v1/transactions`; the context holds the client and the Idempotency-Key header."""

    id = Text(longest=64, error_messages={"required": "Give an id of yours, here or as the header Idempotency-Key."})
    amount = StrictInteger()
    currency = Text(longest=3)
    provider = Text(longest=50, required=False, allow_null=True)
    reference = Text(longest=255, required=False, allow_null=True)
    metadata = Metadata(required=False, allow_null=True)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("id") is None:
            key = self.context["idempotency_key"]
            data = {name: value for name, value in data.items() if name != "id"} | ({} if key is None else {"id": key})
        known: dict[str, Any] = super().to_internal_value(data)
        if unknown := sorted(set(data) - set(self.fields)):
            detail = serializers.ErrorDetail("There is no such field.", "unknown")
            raise serializers.ValidationError({name[:64]: [detail] for name in unknown})
        return known

    def validate_id(self, value: str) -> str:
        if not CLIENT_REF.match(value):
            raise serializers.ValidationError("1 to 64 characters of A-Z a-z 0-9 . _ : -")
        return value

    def validate_currency(self, value: str) -> str:
        if value not in CURRENCIES:
            raise serializers.ValidationError("An ISO 4217 code in upper case, such as EUR.")
        return value

    def order(self) -> Order:
        """The validated content. Raises ValidationError for a provider that does not exist."""
        data = self.validated_data
        return Order(
            client_ref=data["id"],
            amount=data["amount"],
            currency=data["currency"],
            reference=data.get("reference") or "",
            metadata=data.get("metadata") or {},
            provider=self._provider(data.get("provider")),
            provider_named=bool(data.get("provider")),
        )

    def _provider(self, slug: str | None) -> ProviderSettings | None:
        client: ClientSettings = self.context["client"]
        if slug is None:
            return provider_by_id(client.default_provider) if client.default_provider else None
        found = provider_by_slug(slug)
        if found is None:
            raise provider_error("There is no such provider.", "unknown")
        return found


def provider_error(message: str, code: str) -> serializers.ValidationError:
    return serializers.ValidationError({"provider": [serializers.ErrorDetail(message, code)]})


class ListQuery(serializers.Serializer[Any]):
    """The filters of `GET /v1/transactions`."""

    status = serializers.ChoiceField(choices=Status.choices, required=False)
    provider = serializers.CharField(max_length=50, required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=100, required=False)
    cursor = serializers.CharField(max_length=255, required=False)


class Failure(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class TransactionBody(serializers.Serializer[Any]):
    """A transaction, as `Record.as_json` writes it; for the API's description."""

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    amount = serializers.IntegerField(min_value=1, max_value=MAX_AMOUNT)
    currency = serializers.CharField()
    provider = serializers.CharField()
    provider_transaction_id = serializers.UUIDField()
    reference = serializers.CharField(allow_null=True)
    metadata = serializers.DictField(child=serializers.CharField())
    sequence = serializers.IntegerField(min_value=1)
    failure = Failure(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    finalised_at = serializers.DateTimeField(allow_null=True)


class TransactionPage(serializers.Serializer[Any]):
    """A page of transactions; `next` and `previous` are links, or null at the ends."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = TransactionBody(many=True)


class EndpointBody(serializers.Serializer[Any]):
    """A client's endpoint, as `endpoint_state` writes it; for the API's description."""

    url = serializers.URLField()
    enabled = serializers.BooleanField()
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_reason = serializers.CharField(allow_null=True)
    failing_since = serializers.DateTimeField(allow_null=True)


class EventBody(serializers.Serializer[Any]):
    """One change of status, as the client may see it; for the API's description."""

    sequence = serializers.IntegerField(min_value=1)
    status = serializers.ChoiceField(choices=Status.choices)
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # DRF's own argument's name
    at = serializers.DateTimeField()


class EventList(serializers.Serializer[Any]):
    """All changes of a transaction's status."""

    results = EventBody(many=True)
