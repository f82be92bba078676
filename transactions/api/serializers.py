"""Request bodies and query parameters of the API, validated field by field."""

from collections.abc import Iterable
from typing import Any, cast

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from clients.settings import ClientSettings
from providers.models import Provider
from providers.settings import provider_by_id, provider_by_slug
from providers.status import Status
from transactions.api.fields import LONGEST_SLUG, SLUG, Amount, ClientRef, Currency, Metadata, ProviderSlug, Reference
from transactions.api.pages import LARGEST_PAGE
from transactions.store import Order


@extend_schema_serializer(description="The transaction to accept. Unknown fields are refused.")
class NewTransaction(serializers.Serializer[Order]):
    """Body of `POST /v1/transactions`; its context holds the client and the Idempotency-Key header."""

    id = ClientRef(
        error_messages={"required": "Set `id`, here or in the header Idempotency-Key."},
        help_text="Your own id of the transaction, which is also its idempotency key. Required here or in the header "
        "`Idempotency-Key`.",
    )
    amount = Amount(help_text="Minor units, such as cents, without quotes, point or exponent.")
    currency = Currency(help_text="ISO 4217 alphabetic code, in upper case.")
    provider = ProviderSlug(
        required=False, allow_null=True, help_text="The provider to use. Default: your default provider."
    )
    reference = Reference(required=False, allow_null=True, help_text="Text that the provider receives.")
    metadata = Metadata(
        required=False,
        allow_null=True,
        help_text="A flat object of strings, at most 4 KiB as JSON. Returned unchanged, never interpreted.",
    )

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("id") is None:
            key = _without_quotes(self.context["idempotency_key"])
            data = {name: value for name, value in data.items() if name != "id"} | ({} if key is None else {"id": key})
        errors, known = _unknown(self, data, "Unknown field."), {}
        try:
            known = super().to_internal_value(data)
        except serializers.ValidationError as error:  # all errors are reported at once
            errors |= cast(dict[str, Any], error.detail)
        if errors:
            raise serializers.ValidationError(errors)
        return known

    def order(self) -> Order:
        """Return the validated content. Raises ValidationError if the provider does not exist."""
        data = self.validated_data
        return Order(
            client_ref=data["id"],
            amount=data["amount"],
            currency=data["currency"],
            reference=data.get("reference") or "",
            metadata=data.get("metadata") or {},
            provider=_provider(self.context["client"], data.get("provider")),
            provider_named=bool(data.get("provider")),
        )


def _without_quotes(key: str | None) -> str | None:
    """Return the value of an Idempotency-Key. The header's standard makes it a quoted string (RFC 8941, section 3.3.3).

    The escapes of such a string are for characters that no id has.
    """
    return key[1:-1] if key and len(key) > 1 and key[0] == key[-1] == '"' else key


def _provider(client: ClientSettings, slug: str | None) -> Provider | None:
    if slug is None:
        return provider_by_id(client.default_provider) if client.default_provider else None
    found = provider_by_slug(slug)
    if found is None:
        raise provider_error("Unknown provider.", "unknown")
    return found


def provider_error(message: str, code: str) -> serializers.ValidationError:
    return serializers.ValidationError({"provider": [serializers.ErrorDetail(message, code)]})


@extend_schema_field({"type": "string", "maxLength": 255, "format": "cursor"})
class CursorField(serializers.CharField):
    """Opaque position in the list, from the links of a page."""


class ListQuery(serializers.Serializer[Any]):
    """Filters of `GET /v1/transactions`; the validated ones are look-ups of the ORM."""

    status = serializers.ChoiceField(
        choices=Status.choices, required=False, help_text="Only transactions with this status."
    )
    provider = serializers.RegexField(
        SLUG,
        source="provider__slug",
        max_length=LONGEST_SLUG,
        trim_whitespace=False,
        required=False,
        help_text="Only transactions at this provider.",
    )
    created_after = serializers.DateTimeField(
        source="created_at__gt", required=False, help_text="Only transactions accepted after this time."
    )
    created_before = serializers.DateTimeField(
        source="created_at__lt", required=False, help_text="Only transactions accepted before this time."
    )
    limit = serializers.IntegerField(
        min_value=1, max_value=LARGEST_PAGE, required=False, help_text="Transactions per page. Default: 20."
    )
    cursor = CursorField(
        max_length=255, required=False, help_text="The start of a page, from the links `next` and `previous`."
    )

    def to_internal_value(self, data: QueryDict) -> dict[str, Any]:
        """Refuse unknown and repeated parameters, which would return other transactions than the client meant."""
        errors = _unknown(self, data, "Unknown parameter.")
        repeated = serializers.ErrorDetail("Must occur only once.", "repeated")
        errors |= {name[:64]: [repeated] for name, values in data.lists() if len(values) > 1}
        if errors:
            raise serializers.ValidationError(errors)
        known: dict[str, Any] = super().to_internal_value(data.dict())
        return known


def _unknown(serializer: serializers.Serializer[Any], names: Iterable[str], message: str) -> dict[str, Any]:
    """Return an error for each name that is no field of the serializer."""
    detail = serializers.ErrorDetail(message, "unknown")
    return {name[:64]: [detail] for name in sorted(set(names) - set(serializer.fields))}
