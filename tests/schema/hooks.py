"""Values that Schemathesis cannot generate from the description, because the service or its operators issue them.

The hooks replace only valid values, by other valid ones, so that intentionally wrong values stay wrong.
"""

import hashlib
import hmac
import itertools
import os
import re
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import requests
import schemathesis
import yaml
from standardwebhooks import Webhook

PROVIDER = os.environ["SCHEMATHESIS_PROVIDER"]
SECRET = os.environ["SCHEMATHESIS_WEBHOOK_SECRET"]
TOKEN_PROVIDER = os.environ["SCHEMATHESIS_TOKEN_PROVIDER"]
KEY = os.environ["SCHEMATHESIS_TOKEN_KEY"].encode()
CURSOR = b64encode(b"p=019aaf3e-5b1c-7d0e-9a63-0d4f4c1a2b7e").decode()
CLIENT_REF = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,64}")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")

_numbers = itertools.count(1)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Set an existing provider, a cursor in our format, an id in the header if the body has none, and a signature."""
    if case.operation.label == "POST /v1/transactions" and isinstance(case.body, dict):
        _fill_order(case, case.body)
    if case.operation.label == "GET /v1/transactions" and isinstance(case.query, dict):
        _fill_filters(case.query)
    if case.operation.label == "POST /webhooks/{provider}":
        if SLUG.fullmatch(str(case.path_parameters.get("provider"))):
            case.path_parameters["provider"] = PROVIDER
        if "webhook-signature" not in case.headers:
            kwargs["auth"] = sign
    if case.operation.label == "POST /webhooks/{provider}/{id}/{token}":
        _fill_address(case, case.path_parameters)


@schemathesis.deserializer("application/vnd.oai.openapi")
def read_yaml(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    """Parse the content type of OpenAPI descriptions, which Schemathesis does not know."""
    return yaml.safe_load(response.content)


def _fill_order(case: schemathesis.Case[Any], body: dict[str, Any]) -> None:
    if isinstance(body.get("provider"), str) and SLUG.fullmatch(body["provider"]):
        body["provider"] = PROVIDER
    if isinstance(body.get("amount"), float) and body["amount"].is_integer():
        # JSON Schema accepts 1.0 as an integer; the API refuses it, because amounts are never floats.
        body["amount"] = int(body["amount"])
    if body.get("id") is None:
        case.headers["Idempotency-Key"] = f"by-header-{next(_numbers)}"
    elif isinstance(body["id"], str) and CLIENT_REF.fullmatch(body["id"]) and next(_numbers) % 2:
        # Schemathesis generates few ids, most of which are already used with different content.
        body["id"] = f"new-{next(_numbers)}"


def _fill_filters(query: dict[str, Any]) -> None:
    if 0 < len(str(query.get("cursor", ""))) <= 255:
        query["cursor"] = CURSOR
    for name in ("created_after", "created_before"):
        if str(query.get(name, "")).startswith(("0001-", "9999-")):
            del query[name]  # refused if its year in UTC has not four digits, which no format can express


def _fill_address(case: schemathesis.Case[Any], address: dict[str, Any]) -> None:
    """Set the webhook URL of a transaction at a provider that cannot sign."""
    if SLUG.fullmatch(str(address["provider"])):
        address["provider"] = TOKEN_PROVIDER
    if re.fullmatch("[0-9a-f]{64}", str(address["token"])):
        message = f"webhook-url:{address['provider']}:{str(address['id']).lower()}".encode()
        address["token"] = hmac.new(KEY, message, hashlib.sha256).hexdigest()
    if isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = str(address["id"])


def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Sign the request, as a provider does."""
    body, now = request.body or b"", datetime.now(UTC)
    id_, text = f"msg_{next(_numbers)}", body if isinstance(body, str) else body.decode("utf-8", "surrogateescape")
    try:
        signature = Webhook(SECRET).sign(id_, now, text)
    except UnicodeEncodeError:  # not UTF-8: the official package cannot sign it; unsigned, it is refused
        return request
    signed = {"webhook-id": id_, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    request.headers.update(signed)
    return request
