"""Response bodies of the API, for its description only: other code builds them (`TransactionSnapshot.as_json`)."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from providers.status import Status
from transactions.api.fields import Amount, ClientRef, Currency, Metadata, ProviderSlug, Reference
from transactions.status import Source


class Failure(serializers.Serializer[Any]):
    """The reason for which a transaction failed."""

    code = serializers.CharField(
        help_text="`refused`: the provider refused the transaction; `detail` is its reason. `not_created`: the "
        "provider provably has no such transaction. `failed_at_provider`: the provider reported a failure. "
        "`set_by_staff`: an operator set the status, which can also be `declined`."
    )
    detail = serializers.CharField(help_text="The reason, for people.")


@extend_schema_serializer(component_name="Transaction")
class TransactionBody(serializers.Serializer[Any]):
    """The current state of a transaction."""

    id = ClientRef(help_text="Your own id.")
    status = serializers.ChoiceField(choices=Status.choices, help_text="Every status but `pending` is final.")
    amount = Amount(help_text="Minor units, such as cents.")
    currency = Currency(help_text="ISO 4217 alphabetic code.")
    provider = ProviderSlug(help_text="The provider that performs the transaction.")
    provider_transaction_id = serializers.UUIDField(
        help_text="The id under which the provider knows the transaction. The same `id` always gets the same one."
    )
    reference = Reference(allow_null=True, help_text="The reference from your request.")
    metadata = Metadata(help_text="The metadata from your request.")
    sequence = serializers.IntegerField(min_value=1, help_text="Starts at 1; each status change increments it.")
    failure = Failure(allow_null=True, help_text="Null unless the status is `failed`, or was set by an operator.")
    created_at = serializers.DateTimeField(help_text="The time of acceptance. All times are RFC 3339 in UTC.")
    updated_at = serializers.DateTimeField(help_text="The time of the last change.")
    finalised_at = serializers.DateTimeField(allow_null=True, help_text="The time at which the status became final.")


class TransactionPage(serializers.Serializer[Any]):
    """A page of transactions, newest first."""

    next = serializers.URLField(allow_null=True, help_text="The page of older transactions; null on the last page.")
    previous = serializers.URLField(allow_null=True, help_text="The page of newer ones; null on the first page.")
    results = TransactionBody(many=True)


@extend_schema_serializer(component_name="Endpoint")
class EndpointBody(serializers.Serializer[Any]):
    """Your endpoint, which receives notifications."""

    url = serializers.URLField(help_text="The URL of the endpoint.")
    enabled = serializers.BooleanField(help_text="While it is false, notifications are queued.")
    disabled_at = serializers.DateTimeField(allow_null=True, help_text="The time at which it was disabled.")
    disabled_reason = serializers.CharField(allow_null=True, help_text="The reason, for people.")
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="The first failed delivery since the last confirmed one."
    )


@extend_schema_serializer(component_name="Event")
class EventBody(serializers.Serializer[Any]):
    """A change of a transaction's status."""

    sequence = serializers.IntegerField(min_value=1, help_text="The transaction's sequence after the change.")
    status = serializers.ChoiceField(choices=Status.choices, help_text="The transaction's status after the change.")
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF's own argument's name
        choices=Source.choices,
        help_text="The origin of the change: your request (`api`), the provider's response to the create (`create`) "
        "or to a status check (`poll`), its webhook (`webhook`), an operator (`staff`), or a timeout (`clock`).",
    )
    at = serializers.DateTimeField(help_text="The time of the record.")


class EventList(serializers.Serializer[Any]):
    """All status changes of a transaction, in order."""

    results = EventBody(many=True)
