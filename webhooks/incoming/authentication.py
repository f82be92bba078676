"""How a provider proves that a webhook is its own: over the raw body, in constant time."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping
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
    match provider.webhook_auth:
        case Provider.Auth.URL_TOKEN:
            return _url_token(provider, url)
        case Provider.Auth.STRIPE:
            return _stripe(provider, headers, body)
        case Provider.Auth.HMAC_SHA256:
            return _hmac_sha256(provider, headers, body)
    return _standard(provider, headers, body)


def _standard(provider: ProviderSettings, headers: Mapping[str, str], body: bytes) -> Sender:
    """Standard Webhooks: any `v1` signature by any live secret, over id, timestamp and body."""
    id_, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not (id_ and timestamp and given):
        raise Refused("missing_headers")
    if len(id_) > 255:
        raise Refused("malformed_headers")
    _fresh(timestamp)
    candidates = given.encode()[:4096].split()
    expected = _standard_signatures(provider, id_, timestamp, body)
    if not any(hmac.compare_digest(one, other) for one in expected for other in candidates):
        raise Refused("wrong_signature")
    return Sender(id_)


def _standard_signatures(provider: ProviderSettings, id_: str, timestamp: str, body: bytes) -> Iterator[bytes]:
    for secret in provider.webhook_secrets:
        try:
            yield signature(secret, id_, timestamp, body).encode()
        except ValueError:  # no `whsec_<base64>`: it is from the time of another scheme
            continue


def _stripe(provider: ProviderSettings, headers: Mapping[str, str], body: bytes) -> Sender:
    """`t=<seconds>,v1=<hex>,…`: any `v1` by any live secret, over timestamp and body; read as Stripe's package does.

    Two things are stricter than there: a timestamp is digits only, and may not be of the future either.
    """
    given = headers.get("stripe-signature", "")
    if not given:
        raise Refused("missing_headers")
    pairs = [item.split("=", 2) for item in given.split(",")]
    timestamps = [pair[1] for pair in pairs if pair[0] == "t" and len(pair) > 1]
    candidates = [pair[1].encode() for pair in pairs if pair[0] == "v1" and len(pair) > 1]
    if ["t"] in pairs or ["v1"] in pairs or not timestamps or not candidates:
        raise Refused("malformed_headers")
    signed = b"%d." % _fresh(timestamps[0]) + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in provider.webhook_secrets]
    if not any(hmac.compare_digest(one.encode(), other) for one in expected for other in candidates):
        raise Refused("wrong_signature")
    return Sender(None)


def _hmac_sha256(provider: ProviderSettings, headers: Mapping[str, str], body: bytes) -> Sender:
    """The body's HMAC in a header of the provider's own. It knows no time: a replay is known by its body."""
    name = provider.webhook_signature_header.replace("_", "-")  # to a web server they are the same
    given = headers.get(name, "").strip()
    if not given:
        raise Refused("missing_headers")
    mark = _mac(given.removeprefix(provider.webhook_signature_prefix))
    expected = [hmac.digest(secret.encode(), body, "sha256") for secret in provider.webhook_secrets]
    if not any(hmac.compare_digest(one, mark) for one in expected):
        raise Refused("wrong_signature")
    return Sender(None)


def _url_token(provider: ProviderSettings, url: tuple[UUID, str] | None) -> Sender:
    if url is None:
        raise Refused("missing_token")
    id_, token = url
    if not any(hmac.compare_digest(token.encode(), right.encode()) for right in url_tokens(provider.slug, id_)):
        raise Refused("wrong_token")
    return Sender(None, id_)


def _fresh(timestamp: str) -> int:
    """A timestamp's seconds. Raises Refused."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise Refused("malformed_headers")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise Refused("stale_timestamp")
    return int(timestamp)


def _mac(text: str) -> bytes:
    """What is written in hex or base64. Raises Refused."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("malformed_headers") from None
