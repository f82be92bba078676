"""Descriptions of the API's operations; each decorates the view's method that performs the operation."""

from pathlib import Path

import yaml
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse

from transactions.api.bodies import EndpointBody, EventList, TransactionBody, TransactionPage
from transactions.api.fields import CLIENT_REF_SCHEMA
from transactions.api.schema import describe
from transactions.api.serializers import ListQuery, NewTransaction

EXAMPLES = yaml.safe_load(Path(__file__).with_name("examples.yaml").read_bytes())
ID = OpenApiParameter("id", CLIENT_REF_SCHEMA, OpenApiParameter.PATH, description="Your own id of the transaction.")


def _examples(*names: str) -> list[OpenApiExample]:
    return [OpenApiExample(name, EXAMPLES[name]) for name in names]


def _header(name: str, schema: dict[str, object], status: int, description: str) -> OpenApiParameter:
    """Return a header that every response with this status has."""
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, required=True, response=[status], description=description
    )


accept_transaction = describe(
    "accept_transaction",
    "Accept a transaction",
    {
        202: OpenApiResponse(TransactionBody, "Accepted: the transaction is stored.", _examples("pending")),
        200: OpenApiResponse(
            TransactionBody, "Already accepted: the current state of the transaction.", _examples("completed")
        ),
    },
    request=OpenApiRequest(NewTransaction, examples=_examples("shortest", "full")),
    problems=["unsupported-media-type", "idempotency-mismatch"],
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            location=OpenApiParameter.HEADER,
            description="The transaction's `id` if the body has none. The rules of that field apply.",
        ),
        _header(
            "Location",
            {"type": "string", "format": "uri-reference", "pattern": "^/v1/transactions/[A-Za-z0-9._:-]{1,64}$"},
            202,
            "The URL of the transaction.",
        ),
        _header(
            "Idempotent-Replayed",
            {"type": "string", "enum": ["true"]},
            200,
            "Nothing was changed: the transaction already existed.",
        ),
    ],
)

list_transactions = describe(
    "list_transactions",
    "List your transactions",
    {200: OpenApiResponse(TransactionPage, "A page of transactions.", _examples("last page"))},
    parameters=[ListQuery],
)

read_transaction = describe(
    "read_transaction",
    "Read a transaction",
    {200: OpenApiResponse(TransactionBody, "The transaction.", _examples("completed", "failed"))},
    parameters=[ID],
)

list_events = describe(
    "list_events",
    "List the status changes of a transaction",
    {200: OpenApiResponse(EventList, "All status changes.", _examples("events"))},
    parameters=[ID],
)

repeat_notification = describe(
    "repeat_notification",
    "Send the notification again",
    {202: OpenApiResponse(TransactionBody, "The transaction; its notification is queued.", _examples("completed"))},
    parameters=[ID],
)

read_endpoint = describe(
    "read_endpoint",
    "Read the state of your endpoint",
    {200: OpenApiResponse(EndpointBody, "The state of the endpoint.", _examples("disabled"))},
    tag="Your endpoint",
)

enable_endpoint = describe(
    "enable_endpoint",
    "Enable your endpoint again",
    {200: OpenApiResponse(EndpointBody, "The endpoint is enabled.", _examples("enabled"))},
    problems=["endpoint-disabled-by-staff"],
    tag="Your endpoint",
)
