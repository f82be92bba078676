"""Both directions of webhooks in the API's description: what clients are sent, and what providers send."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiRequest, OpenApiResponse, OpenApiWebhook, extend_schema
from rest_framework import serializers

from transactions.api.bodies import TRANSACTION, TransactionBody, problem_example
from transactions.api.problems import PROBLEMS
from transactions.api.schema import PROBLEM_JSON, RETRY_AFTER
from transactions.status import Status
from webhooks.incoming.authentication import TOLERANCE


class Notification(serializers.Serializer[Any]):
    """What your endpoint is told."""

    type = serializers.ChoiceField(choices=[f"transaction.{status}" for status in Status])
    timestamp = serializers.DateTimeField(help_text="When it was sent.")
    data = TransactionBody()  # type: ignore[assignment]  # DRF's own property's name


def _header(name: str, pattern: str, description: str, *, required: bool = True) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": required, "schema": schema, "description": description}


SIGNED = [
    _header("webhook-id", "^msg_[A-Za-z0-9_-]+$", "The same over all tries of one notification."),
    _header("webhook-timestamp", "^[0-9]+$", "Unix seconds; refuse what is off by more than five minutes."),
    _header(
        "webhook-signature",
        "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$",
        '`v1,` and the base64 HMAC-SHA256 of "{id}.{timestamp}.{body}"; several, with spaces between, while a secret '
        "is being rotated.",
    ),
]

NOTIFICATION = OpenApiWebhook(
    name="transaction",
    decorator=extend_schema(
        operation_id="notify",
        summary="A transaction's status changed",
        description="Sent to your callback URL, signed as [Standard Webhooks](https://www.standardwebhooks.com) says. "
        "`transaction.pending` comes once, when nothing final is known 200 ms after acceptance; the final status "
        "always comes. At least once, never backwards: drop a `sequence` that you have seen.\n\n"
        "Confirm with any 2xx within 15 s. Anything else is tried again: at once, then after 5 s, 5 min, 30 min, 2 h, "
        "5 h, 10 h and 10 h, each ±20 %. Redirects are not followed.\n\n"
        "A client whose endpoint exists already can have another method and body.",
        tags=["Notifications"],
        request=OpenApiRequest(
            Notification,
            examples=[
                OpenApiExample(
                    "completed",
                    {"type": "transaction.completed", "timestamp": "2026-11-23T05:13:29.350411Z", "data": TRANSACTION},
                )
            ],
        ),
        responses={
            "2XX": OpenApiResponse(description="Confirmed."),
            "410": OpenApiResponse(description="Gone: the endpoint is disabled, and what is to be told waits."),
            "429": OpenApiResponse(description="Not now: `Retry-After` says when, and is believed up to 10 h."),
            "503": OpenApiResponse(description="Not now: `Retry-After` says when, and is believed up to 10 h."),
        },
    ),
)

_OPTIONAL = "Where the provider signs as Standard Webhooks says: "
_PROVIDER = {
    "name": "provider",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
    "description": "The provider's name.",
}
_TRANSACTION = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "The id under which the provider knows the transaction; the body's must be the same.",
}
_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "description": "The proof that we gave this address to the provider.",
}
_INCOMING_HEADERS = [
    _header("webhook-id", ".*", _OPTIONAL + "tells repeated webhooks.", required=False),
    _header("webhook-timestamp", ".*", f"{_OPTIONAL}Unix seconds, off by at most {TOLERANCE}.", required=False),
    _header("webhook-signature", ".*", f"{_OPTIONAL}its signatures.", required=False),
    _header("Stripe-Signature", ".*", "With the scheme `stripe`: time and signatures.", required=False),
]
_BODY = {
    "type": "object",
    "description": "The provider's own; the paths of the two fields are its settings, and these the defaults.",
    "properties": {
        "id": {"type": "string", "minLength": 1, "description": "The id under which the provider knows it."},
        "status": {"type": ["string", "integer"], "description": "The provider's word for its status."},
    },
    "required": ["id", "status"],
}


def _problems(*slugs: str) -> dict[str, Any]:
    return {str(PROBLEMS[slug].status): _problem(slug) for slug in slugs}


def _problem(slug: str) -> dict[str, Any]:
    found, example = PROBLEMS[slug], problem_example(slug)
    answer: dict[str, Any] = {
        "description": found.title,
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {slug: {"value": {**example.value, "instance": "/webhooks/acme"}}},
            }
        },
    }
    if slug == "unavailable":
        answer["headers"] = {"Retry-After": {"required": True, "schema": RETRY_AFTER}}
    if slug == "webhook-not-authentic":
        answer["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return answer


def _incoming(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": "For providers, not for clients. Applied, repeated, late and contradicting webhooks are "
        "answered alike; each is recorded as what it was.",
        "tags": ["Provider webhooks"],
        "security": [],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _BODY,
                    "example": {"id": TRANSACTION["provider_transaction_id"], "status": "completed"},
                }
            },
        },
        "responses": {
            "204": {"description": "It is recorded."},
            **_problems(
                "invalid",
                "webhook-not-authentic",
                "not-found",
                "body-late",
                "body-too-large",
                "internal-error",
                "unavailable",
            ),
        },
    }


def describe_webhooks(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: the providers' addresses are plain Django views, and it gives webhooks no headers."""
    signed = _incoming("receive_webhook", "Tell of a transaction, signed", [_PROVIDER, *_INCOMING_HEADERS])
    by_token = _incoming(
        "receive_webhook_by_token",
        "Tell of a transaction, at an address that only you know",
        [_PROVIDER, _TRANSACTION, _TOKEN],
    )
    result["paths"]["/webhooks/{provider}"] = {"post": signed}
    result["paths"]["/webhooks/{provider}/{id}/{token}"] = {"post": by_token}
    result["webhooks"]["transaction"]["post"]["parameters"] = SIGNED
    return result
