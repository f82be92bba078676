"""What a client may send, checked field by field; `transactions.api.bodies` says what it gets."""

from collections.abc import Iterable
from typing import Any, cast

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from transactions.api.fields import LONGEST_SLUG, SLUG, Amount, ClientRef, Currency, Metadata, ProviderSlug, Reference
from transactions.api.pages import LARGEST_PAGE
from transactions.config import ClientSettings, ProviderSettings, provider_by_id, provider_by_slug
from transactions.services import Order
from transactions.status import Status


@extend_schema_serializer(description="What you ask for. A field that is not named here is refused.")
class NewTransaction(serializers.Serializer[Order]):
    """The body of `POST /v1/transactions`; the context holds the client and the Idempotency-Key header."""

    id = ClientRef(
        error_messages={"required": "Give an id of yours, here or as the header Idempotency-Key."},
        help_text="Your own id of the transaction, and its idempotency key. Where the body has none, the header "
        "`Idempotency-Key` gives it; one of both is needed.",
    )
    amount = Amount(help_text="Minor units, such as cents. A number without quotes, point or exponent.")
    currency = Currency(help_text="ISO 4217 alphabetic code, in upper case.")
    provider = ProviderSlug(
        required=False, allow_null=True, help_text="The provider to use; without it, your default provider."
    )
    reference = Reference(required=False, allow_null=True, help_text="Passed on to the provider.")
    metadata = Metadata(
        required=False,
        allow_null=True,
        help_text="A flat object of strings, at most 4 KiB as JSON. Returned to you, never interpreted.",
    )

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("id") is None:
            key = self.context["idempotency_key"]
            data = {name: value for name, value in data.items() if name != "id"} | ({} if key is None else {"id": key})
        wrong = _unknown(self, data, "There is no such field.")
        try:
            known: dict[str, Any] = super().to_internal_value(data)
        except serializers.ValidationError as error:  # all that is wrong at once
            raise serializers.ValidationError({**wrong, **cast(dict[str, Any], error.detail)}) from error
        if wrong:
            raise serializers.ValidationError(wrong)
        return known

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


@extend_schema_field({"type": "string", "maxLength": 255, "format": "cursor"})
class CursorField(serializers.CharField):
    """Opaque: only our own links have one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, **kwargs)


class ListQuery(serializers.Serializer[Any]):
    """The filters of `GET /v1/transactions`."""

    status = serializers.ChoiceField(choices=Status.choices, required=False, help_text="Only those with this status.")
    provider = serializers.RegexField(
        SLUG,
        max_length=LONGEST_SLUG,
        trim_whitespace=False,
        required=False,
        help_text="Only those at this provider.",
    )
    created_after = serializers.DateTimeField(required=False, help_text="Only those accepted later than this.")
    created_before = serializers.DateTimeField(required=False, help_text="Only those accepted earlier than this.")
    limit = serializers.IntegerField(
        min_value=1, max_value=LARGEST_PAGE, required=False, help_text="The size of a page; 20 without it."
    )
    cursor = CursorField(required=False, help_text="Where a page begins: part of the links `next` and `previous`.")

    def to_internal_value(self, data: QueryDict) -> dict[str, Any]:
        """A misspelt filter would let everything through, and one that comes twice half of what was meant."""
        wrong = _unknown(self, data, "There is no such parameter.")
        twice = serializers.ErrorDetail("Give it once.", "repeated")
        wrong |= {name[:64]: [twice] for name, values in data.lists() if len(values) > 1}
        if wrong:
            raise serializers.ValidationError(wrong)
        known: dict[str, Any] = super().to_internal_value(data.dict())
        return known


def _unknown(asked: serializers.Serializer[Any], given: Iterable[str], words: str) -> dict[str, Any]:
    """The errors of names that are none of its fields'."""
    detail = serializers.ErrorDetail(words, "unknown")
    return {name[:64]: [detail] for name in sorted(set(given) - set(asked.fields))}
