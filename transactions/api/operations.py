"""Descriptions of the API's operations; each decorates the view's method that performs the operation."""

from functools import partial
from pathlib import Path

import yaml
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse

from transactions.api.bodies import EndpointBody, EventList, TransactionBody, TransactionPage
from transactions.api.fields import CLIENT_REF_SCHEMA
from transactions.api.schema import describe
from transactions.api.serializers import ListQuery, NewTransaction

EXAMPLES = yaml.safe_load(Path(__file__).with_name("examples.yaml").read_bytes())
ID = OpenApiParameter("id", CLIENT_REF_SCHEMA, OpenApiParameter.PATH, description="Your own id of the transaction.")
_response_header = partial(OpenApiParameter, location=OpenApiParameter.HEADER, required=True)


def _examples(*names: str) -> list[OpenApiExample]:
    return [OpenApiExample(name, EXAMPLES[name]) for name in names]


accept_transaction = describe(
    operation_id="accept_transaction",
    summary="Accept a transaction",
    responses={
        202: OpenApiResponse(TransactionBody, "Accepted: the transaction is stored.", _examples("pending")),
        200: OpenApiResponse(
            TransactionBody, "Already accepted: the current state of the transaction.", _examples("completed")
        ),
    },
    request=OpenApiRequest(NewTransaction, examples=_examples("shortest", "full")),
    extensions={"x-problems": ["unsupported-media-type", "idempotency-mismatch"]},
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            location=OpenApiParameter.HEADER,
            description="The transaction's `id` if the body has none. The rules of that field apply. It may be in "
            "double quotes, which are not part of the id.",
        ),
        _response_header(
            "Location",
            {"type": "string", "format": "uri-reference", "pattern": "^/v1/transactions/[A-Za-z0-9._:-]{1,64}$"},
            response=[202],
            description="The URL of the transaction.",
        ),
        _response_header(
            "Idempotent-Replayed",
            {"type": "string", "enum": ["true"]},
            response=[200],
            description="Nothing was changed: the transaction already existed.",
        ),
    ],
)

list_transactions = describe(
    operation_id="list_transactions",
    summary="List your transactions",
    responses={200: OpenApiResponse(TransactionPage, "A page of transactions.", _examples("last page"))},
    parameters=[ListQuery],
)

read_transaction = describe(
    operation_id="read_transaction",
    summary="Read a transaction",
    responses={200: OpenApiResponse(TransactionBody, "The transaction.", _examples("completed", "failed"))},
    parameters=[ID],
)

list_events = describe(
    operation_id="list_events",
    summary="List the status changes of a transaction",
    responses={200: OpenApiResponse(EventList, "All status changes.", _examples("events"))},
    parameters=[ID],
)

repeat_notification = describe(
    operation_id="repeat_notification",
    summary="Send the notification again",
    responses={
        202: OpenApiResponse(TransactionBody, "The transaction; its notification is queued.", _examples("completed"))
    },
    parameters=[ID],
)

read_endpoint = describe(
    operation_id="read_endpoint",
    summary="Read the state of your endpoint",
    responses={200: OpenApiResponse(EndpointBody, "The state of the endpoint.", _examples("disabled"))},
    tags=["Your endpoint"],
)

enable_endpoint = describe(
    operation_id="enable_endpoint",
    summary="Enable your endpoint again",
    responses={200: OpenApiResponse(EndpointBody, "The endpoint is enabled.", _examples("enabled"))},
    extensions={"x-problems": ["endpoint-disabled-by-staff"]},
    tags=["Your endpoint"],
)
