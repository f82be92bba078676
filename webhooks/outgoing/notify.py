"""The handler `notify`: send a transaction's signed status to the client's endpoint until it is confirmed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook as Signer

from clients.models import UNSIGNED
from transactions.snapshot import TransactionSnapshot
from webhooks.outgoing.deliveries import Delivery, DeliveryResult
from workers import own_faults
from workers.foundation.template import fill
from workers.foundation.text import rfc3339
from workers.outbound import EXCERPT_ONLY, CallFailed, Http
from workers.outcomes import Again, Call, Done, Failed, Outcome

TIMEOUT = 15.0
"""Timeout of an attempt in seconds."""
DELAYS = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Seconds before each retry, jittered by 20 % (schedule of the Standard Webhooks specification)."""
MAX_RETRY_AFTER = 36000.0
"""Upper bound in seconds for an endpoint's Retry-After."""


async def notify(delivery: Delivery, http: Http) -> Outcome:
    """Deliver once. 2xx confirms; 410 disables the endpoint; 429 and 503 may ask for a delay; all else is retried.

    The status line decides, once the headers are there; of the body only an excerpt is read.
    """
    if not delivery.client.callback_secrets:
        # The lane is stopped, but `runjob` runs its jobs all the same. Without `tries`, no retry is used up.
        return Outcome(Again(5.0, why=f"the client {UNSIGNED}"))
    body = _body(delivery)
    method, url = delivery.client.callback_method, delivery.client.callback_url
    try:
        headers = _headers(delivery, body)
        answer = await http.call(method, url, headers=headers, body=body, within=TIMEOUT, limit=EXCERPT_ONLY)
    except CallFailed as error:
        return _retry(delivery, str(error), error.call)
    if 200 <= answer.status < 300:
        return Outcome(Done(), DeliveryResult(confirmed=delivery.snapshot.sequence), calls=(answer.call,))
    if answer.status == 410:
        # The endpoint's lane stops. The job waits in it like all its other notifications until the endpoint is enabled.
        again = Again(5.0, why="the endpoint answered 410: it is gone")
        return Outcome(again, DeliveryResult(gone=True), calls=(answer.call,))
    asked = answer.retry_after() if answer.status in (429, 503) else None
    return _retry(delivery, f"the endpoint answered {answer.status}", answer.call, asked or 0.0)


def _retry(delivery: Delivery, why: str, call: Call, asked: float = 0.0) -> Outcome:
    if not call.made:
        return Outcome(Again(own_faults.pause(), why=why), calls=(call,))
    tries = delivery.claim.tries
    if tries >= len(DELAYS):
        return Outcome(Failed(f"given up after {tries + 1} tries: {why}"), calls=(call,))
    after = DELAYS[tries] * random.uniform(0.8, 1.2)  # noqa: S311  no secret
    # Never sooner than the schedule: a restarting endpoint that asks for seconds would use up all retries in them.
    return Outcome(Again(max(after, min(asked, MAX_RETRY_AFTER)), tries + 1, why), calls=(call,))


def _body(delivery: Delivery) -> bytes:
    snapshot = delivery.snapshot
    if delivery.client.callback_body is not None:
        return json.dumps(fill(delivery.client.callback_body, _values(snapshot))).encode()
    data = snapshot.as_json(delivery.provider_slug)
    message = {"type": f"transaction.{snapshot.status}", "timestamp": rfc3339(delivery.claim.now()), "data": data}
    return json.dumps(message).encode()


def _values(snapshot: TransactionSnapshot) -> Mapping[str, Any]:
    """Return the values of the placeholders in a client's own body."""
    return {
        "id": snapshot.client_ref,
        "status": snapshot.status,
        "sequence": snapshot.sequence,
        "amount": snapshot.amount,
        "currency": snapshot.currency,
        "reference": snapshot.reference or None,
        "provider_transaction_id": str(snapshot.id),
    }


def _headers(delivery: Delivery, body: bytes) -> dict[str, str]:
    """Return the headers. Every live secret signs, so that a receiver can switch at any time.

    The time is the database's, so a wrong clock of this machine spoils no signature.
    """
    claim, now = delivery.claim, delivery.claim.now()
    message_id = f"msg_{claim.transaction_id.hex}_{claim.key.replace(':', '-')}"
    signatures = [Signer(secret).sign(message_id, now, body.decode()) for secret in delivery.client.callback_secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
