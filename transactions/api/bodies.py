"""What the API answers, for its description: `Record.as_json` and `problem()` write these bodies."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from transactions.api.fields import Amount, ClientRef, Currency, Metadata, ProviderSlug, Reference
from transactions.api.problems import PROBLEMS, problem_type
from transactions.status import Source, Status


class Failure(serializers.Serializer[Any]):
    """Why a transaction failed."""

    code = serializers.CharField(
        help_text="`refused`: the provider would not have it; its reason is the detail. `not_created`: provably, "
        "nothing was created. `failed_at_provider`: the provider says so. `set_by_staff`: an operator has decided it, "
        "which a declined transaction may have as well."
    )
    detail = serializers.CharField(help_text="For people to read.")


@extend_schema_serializer(component_name="Transaction")
class TransactionBody(serializers.Serializer[Any]):
    """A transaction as it is now."""

    id = ClientRef(help_text="Your own id.")
    status = serializers.ChoiceField(choices=Status.choices, help_text="All but `pending` are final.")
    amount = Amount(help_text="Minor units, such as cents.")
    currency = Currency(help_text="ISO 4217 alphabetic code.")
    provider = ProviderSlug(help_text="Where the transaction is created.")
    provider_transaction_id = serializers.UUIDField(help_text="The id under which the provider knows it.")
    reference = Reference(allow_null=True, help_text="As you gave it.")
    metadata = Metadata(help_text="As you gave it.")
    sequence = serializers.IntegerField(
        min_value=1, help_text="Starts at 1 and grows by one with each change of status."
    )
    failure = Failure(allow_null=True, help_text="Null unless the status is `failed`.")
    created_at = serializers.DateTimeField(help_text="When it was accepted; RFC 3339, in UTC, as all times are.")
    updated_at = serializers.DateTimeField(help_text="When it last changed.")
    finalised_at = serializers.DateTimeField(allow_null=True, help_text="When its status became final.")


class TransactionPage(serializers.Serializer[Any]):
    """A page of transactions, newest first."""

    next = serializers.URLField(allow_null=True, help_text="The page of older ones; null at the end.")
    previous = serializers.URLField(allow_null=True, help_text="The page of newer ones; null at the beginning.")
    results = TransactionBody(many=True)


@extend_schema_serializer(component_name="Endpoint")
class EndpointBody(serializers.Serializer[Any]):
    """Your endpoint, at which notifications arrive."""

    url = serializers.URLField(help_text="Where they are sent.")
    enabled = serializers.BooleanField(help_text="While it is false, what is to be told waits.")
    disabled_at = serializers.DateTimeField(allow_null=True, help_text="Since when it is disabled.")
    disabled_reason = serializers.CharField(allow_null=True, help_text="For people to read.")
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="The first delivery that failed since the last one that you confirmed."
    )


@extend_schema_serializer(component_name="Event")
class EventBody(serializers.Serializer[Any]):
    """One change of a transaction's status."""

    sequence = serializers.IntegerField(min_value=1, help_text="The transaction's sequence since then.")
    status = serializers.ChoiceField(choices=Status.choices, help_text="The transaction's status since then.")
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF's own argument's name
        choices=Source.choices,
        help_text="Who told of it: your request (`api`), the provider's answer to the create, to a poll, its webhook, "
        "the operators (`staff`), or the passing of time (`clock`).",
    )
    at = serializers.DateTimeField(help_text="When it was recorded.")


class EventList(serializers.Serializer[Any]):
    """All changes of a transaction's status, in their order."""

    results = EventBody(many=True)


class FieldError(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(help_text="Its name; that of a nested field is a dotted path.")
    code = serializers.CharField(help_text="A word for programs, such as `required`, `range` or `unknown`.")
    detail = serializers.CharField(help_text="For people to read.")


PROBLEM_TYPES = [problem_type(slug) for slug in PROBLEMS]


@extend_schema_field({"type": "string", "format": "uri", "enum": PROBLEM_TYPES})
class ProblemType(serializers.URLField):
    """The address of a page about this kind of problem."""


@extend_schema_field({"type": "string", "format": "uri-reference"})
class UriReference(serializers.CharField):
    """An address without a host."""


@extend_schema_serializer(component_name="Problem")
class ProblemBody(serializers.Serializer[Any]):
    """What went wrong (RFC 9457), and what to do about it."""

    type = ProblemType(help_text="Tells programs the kind of problem; it is the address of a page about it.")
    title = serializers.CharField(help_text="The kind of problem in words, the same each time.")
    status = serializers.IntegerField(min_value=400, max_value=599, help_text="The HTTP status.")
    detail = serializers.CharField(help_text="What to do.")
    instance = UriReference(help_text="The path that was asked for.")
    errors = FieldError(  # type: ignore[assignment]  # DRF's own property's name
        many=True, required=False, help_text="The fields that are not valid, if some are not."
    )


TRANSACTION = {
    "id": "order-1001",
    "status": "completed",
    "amount": 1250,
    "currency": "EUR",
    "provider": "acme",
    "provider_transaction_id": "019aaf3e-5b1c-7d0e-9a63-0d4f4c1a2b7e",
    "reference": "Invoice 1001",
    "metadata": {"basket": "77"},
    "sequence": 2,
    "failure": None,
    "created_at": "2026-11-23T05:13:28.094288Z",
    "updated_at": "2026-11-23T05:13:29.301022Z",
    "finalised_at": "2026-11-23T05:13:29.301022Z",
}
ACCEPTED = TRANSACTION | {
    "status": "pending",
    "sequence": 1,
    "updated_at": TRANSACTION["created_at"],
    "finalised_at": None,
}
FAILED = TRANSACTION | {"status": "failed", "failure": {"code": "refused", "detail": "insufficient funds"}}
PAGE = {"next": None, "previous": None, "results": [TRANSACTION]}
EVENTS = {
    "results": [
        {"sequence": 1, "status": "pending", "source": "api", "at": TRANSACTION["created_at"]},
        {"sequence": 2, "status": "completed", "source": "webhook", "at": TRANSACTION["updated_at"]},
    ]
}


ENDPOINT = {
    "url": "https://shop.example.com/callback",
    "enabled": False,
    "disabled_at": "2026-11-28T05:13:28.094288Z",
    "disabled_reason": "no delivery was confirmed for 5 days",
    "failing_since": "2026-11-23T05:13:28.094288Z",
}


def problem_example(slug: str) -> OpenApiExample:
    """The body that comes with this kind of problem."""
    found = PROBLEMS[slug]
    value: dict[str, Any] = {
        "type": problem_type(slug),
        "title": found.title,
        "status": found.status,
        "detail": found.advice,
        "instance": "/v1/transactions",
    }
    if slug == "invalid":
        value["errors"] = [{"field": "amount", "code": "range", "detail": "From 1 to 10^15."}]
    return OpenApiExample(slug, value)
