"""The operations of the API as its description shows them; each view's method is decorated with its own."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse

from transactions.api.bodies import (
    ACCEPTED,
    ENDPOINT,
    EVENTS,
    FAILED,
    PAGE,
    TRANSACTION,
    EndpointBody,
    EventList,
    TransactionBody,
    TransactionPage,
)
from transactions.api.fields import CLIENT_REF_SCHEMA
from transactions.api.schema import describe
from transactions.api.serializers import ListQuery, NewTransaction

ASKED = ("id", "amount", "currency", "provider", "reference", "metadata")
ID = OpenApiParameter("id", CLIENT_REF_SCHEMA, OpenApiParameter.PATH, description="Your own id of the transaction.")

accept_transaction = describe(
    "accept_transaction",
    "Accept a transaction",
    request=OpenApiRequest(
        NewTransaction,
        examples=[
            OpenApiExample("shortest", {"id": "order-1001", "amount": 1250, "currency": "EUR"}),
            OpenApiExample("full", {name: TRANSACTION[name] for name in ASKED}),
        ],
    ),
    answers={
        202: OpenApiResponse(
            TransactionBody, "Accepted: it is stored, and will be done.", [OpenApiExample("accepted", ACCEPTED)]
        ),
        200: OpenApiResponse(
            TransactionBody,
            "You have sent this before: the transaction as it is now.",
            [OpenApiExample("repeated", TRANSACTION)],
        ),
    },
    problems=["body-late", "body-too-large", "unsupported-media-type", "idempotency-mismatch"],
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            location=OpenApiParameter.HEADER,
            description="The transaction's `id`, where the body has none; it has the rules of that field.",
        ),
        OpenApiParameter(
            "Location",
            {"type": "string", "format": "uri-reference", "pattern": "^/v1/transactions/[A-Za-z0-9._:-]{1,64}$"},
            OpenApiParameter.HEADER,
            required=True,
            response=[202],
            description="Where to read the transaction.",
        ),
        OpenApiParameter(
            "Idempotent-Replayed",
            {"type": "string", "enum": ["true"]},
            OpenApiParameter.HEADER,
            required=True,
            response=[200],
            description="Nothing was done: the transaction existed.",
        ),
    ],
)

list_transactions = describe(
    "list_transactions",
    "List your transactions",
    answers={200: OpenApiResponse(TransactionPage, "A page of them.", [OpenApiExample("last page", PAGE)])},
    parameters=[ListQuery],
)

read_transaction = describe(
    "read_transaction",
    "Read a transaction",
    answers={
        200: OpenApiResponse(
            TransactionBody,
            "The transaction as it is now.",
            [OpenApiExample("completed", TRANSACTION), OpenApiExample("failed", FAILED)],
        )
    },
    problems=["not-found"],
    parameters=[ID],
)

list_events = describe(
    "list_events",
    "List a transaction's changes of status",
    answers={200: OpenApiResponse(EventList, "All of them.", [OpenApiExample("completed", EVENTS)])},
    problems=["not-found"],
    parameters=[ID],
)

repeat_notification = describe(
    "repeat_notification",
    "Send the notification again",
    answers={
        202: OpenApiResponse(
            TransactionBody,
            "The transaction as it is now; it will be sent.",
            [OpenApiExample("completed", TRANSACTION)],
        )
    },
    problems=["not-found"],
    parameters=[ID],
)

read_endpoint = describe(
    "read_endpoint",
    "Read the state of your endpoint",
    answers={200: OpenApiResponse(EndpointBody, "As it is now.", [OpenApiExample("disabled", ENDPOINT)])},
    tag="Your endpoint",
)

enable_endpoint = describe(
    "enable_endpoint",
    "Enable your endpoint again",
    answers={
        200: OpenApiResponse(
            EndpointBody,
            "It is enabled.",
            [
                OpenApiExample(
                    "enabled",
                    ENDPOINT | {"enabled": True} | dict.fromkeys(("disabled_at", "disabled_reason", "failing_since")),
                )
            ],
        )
    },
    problems=["endpoint-disabled-by-staff"],
    tag="Your endpoint",
)
