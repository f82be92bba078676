"""How a provider proves that a webhook is its own: over the raw body, in constant time."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from transactions.config import ProviderSettings
from transactions.models import Provider
from transactions.signing import signature
from transactions.webhook_urls import url_tokens

TOLERANCE = 300
"""Seconds a timestamp may be off, either way (contract of the Standard Webhooks libraries)."""


class Refused(Exception):
    """The webhook is not authentic. `reason` is a word for operators' counts; the sender is told no more than that."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a webhook is from, as its signature or its address proves."""

    webhook_id: str | None
    """The signed message id; None where the scheme has none."""
    transaction_id: UUID | None = None
    """The only transaction that it may speak of; None where it may speak of all of the provider's."""


def authenticate(
    provider: ProviderSettings, headers: Mapping[str, str], body: bytes, *, url: tuple[UUID, str] | None
) -> Sender:
    """The proven sender of a webhook. `url` is the id and the token in its address. Raises Refused."""
    if provider.webhook_auth == Provider.Auth.URL_TOKEN:
        return _url_token(provider, url)
    return _standard(provider, headers, body)


def _standard(provider: ProviderSettings, headers: Mapping[str, str], body: bytes) -> Sender:
    """Standard Webhooks: any `v1` signature by any live secret, over id, timestamp and body."""
    id_, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not (id_ and timestamp and given):
        raise Refused("missing_headers")
    if len(id_) > 255 or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise Refused("malformed_headers")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise Refused("stale_timestamp")
    expected = [signature(secret, id_, timestamp, body).encode() for secret in provider.webhook_secrets]
    candidates = given.encode()[:4096].split()
    if not any(hmac.compare_digest(one, other) for one in expected for other in candidates):
        raise Refused("wrong_signature")
    return Sender(id_)


def _url_token(provider: ProviderSettings, url: tuple[UUID, str] | None) -> Sender:
    if url is None:
        raise Refused("missing_token")
    id_, token = url
    if not any(hmac.compare_digest(token.encode(), right.encode()) for right in url_tokens(provider.slug, id_)):
        raise Refused("wrong_token")
    return Sender(None, id_)
