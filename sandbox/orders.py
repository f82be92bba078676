"""Parser of the JSON body of a create."""

import json
import re
from dataclasses import dataclass
from uuid import UUID


class InvalidOrder(Exception):
    """The body is invalid; `http` is the status of the answer."""

    def __init__(self, http: int, reason: str) -> None:
        super().__init__(reason)
        self.http = http


@dataclass(frozen=True, slots=True)
class Order:
    """The fields of a create."""

    id: str
    amount: int  # minor units
    currency: str
    reference: str | None
    webhook_url: str | None


def read_order(raw: bytes) -> Order:
    """Parse a body. Raises InvalidOrder: 400 if it is not a JSON object, 422 for an invalid field."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise InvalidOrder(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidOrder(400, "the body is not a JSON object")
    webhook_url = body.get("webhook_url", body.get("webhookUrl"))
    checks = {
        "id: a UUID string is required": _is_uuid(body.get("id")),
        "amount: a positive integer is required": type(body.get("amount")) is int and body["amount"] > 0,
        "currency: three capital letters are required": _matches(r"[A-Z]{3}", body.get("currency")),
        "reference: must be a string": isinstance(body.get("reference"), str | None),
        "webhook_url: must be an http(s) URL": webhook_url is None or _matches(r"https?://\S+", webhook_url),
    }
    wrong = [message for message, is_valid in checks.items() if not is_valid]
    if wrong:
        raise InvalidOrder(422, "; ".join(wrong))
    return Order(body["id"], body["amount"], body["currency"], body.get("reference"), webhook_url)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
