"""A provider that sends webhooks, signed with the packages of Stripe and Standard Webhooks."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.test import Client as Web
from standardwebhooks.webhooks import Webhook as Signer
from stripe import WebhookSignature

from tests.cast import Third
from transactions.models import Event, Transaction
from webhooks.incoming.refusals import write_counts
from webhooks.models import RefusalCount, Webhook
from workers.foundation.webhook_secrets import secret_bytes
from workers.models import Job


def words(id: UUID | str, status: object = "completed", **more: object) -> bytes:
    """A webhook's body."""
    return json.dumps({"id": str(id), "status": status, **more}).encode()


def signed(secret: str, body: bytes, *, id: str = "msg_1", at: datetime | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    at = at or datetime.now(UTC)
    timestamp = str(int(at.timestamp()))
    try:
        mark = Signer(secret).sign(id, at, body.decode())
    except UnicodeDecodeError:  # the package signs text only
        mac = hmac.digest(secret_bytes(secret), f"{id}.{timestamp}.".encode() + body, "sha256")
        mark = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": mark}


def signed_by_stripe(secret: str, body: bytes, *, at: datetime | None = None) -> dict[str, str]:
    """The header of Stripe."""
    at = at or datetime.now(UTC)
    mark = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=int(at.timestamp()))
    return {"Stripe-Signature": mark}


def signed_by_hmac(secret: str, body: bytes) -> dict[str, str]:
    """The header of the scheme hmac-sha256 with its default settings."""
    return {"X-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def send(path: str, body: bytes, headers: dict[str, str] | None = None, content_type: str = "application/json") -> Any:
    """The answer to a webhook; an unexpected error is answered as in production, not raised."""
    web = Web(raise_request_exception=False)
    return web.generic("POST", path, body, content_type, headers=headers or {})


def send_signed(
    third: Third, body: bytes, *, content_type: str = "application/json", coding: str = "", **signing: Any
) -> Any:
    """The answer to this body with a valid signature of the provider over it."""
    headers = signed(third.secret, body, **signing) | ({"Content-Encoding": coding} if coding else {})
    return send(f"/webhooks/{third.provider.slug}", body, headers, content_type)


def tell(third: Third, id: UUID | str, status: object = "completed", webhook: str = "msg_1") -> None:
    """An authentic webhook; it is answered 204."""
    answer = send_signed(third, words(id, status), id=webhook)
    assert (answer.status_code, answer.content) == (204, b"")


def recorded() -> list[str]:
    """The results of the recorded webhooks in order."""
    return list(Webhook.objects.order_by("id").values_list("result", flat=True))


def refusals() -> dict[str, int]:
    """Counts of refused webhooks by reason, after the next write."""
    write_counts()
    return dict(RefusalCount.objects.values_list("reason", "count"))


def everything() -> list[Any]:
    """All rows that a webhook could change, except the counts of refusals."""
    return [list(model.objects.order_by("pk").values()) for model in (Transaction, Event, Job, Webhook)]
