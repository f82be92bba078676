"""Authentication of webhooks from providers: over the raw body, in constant time."""

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from providers.models import Provider
from providers.webhook_urls import url_tokens
from workers import clock
from workers.foundation.webhook_secrets import secret_bytes

TOLERANCE = 300
"""Maximum difference of a timestamp in seconds, in both directions, as in the Standard Webhooks libraries."""
STANDARD_PARTS = ("id", "timestamp", "signature")
"""Headers of Standard Webhooks, after the prefix `webhook-` or `svix-`."""


class Refused(Exception):
    """The webhook is not authentic. Operators see counts by its text, the reason; responses do not contain it."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Proven sender of a webhook."""

    webhook_id: str | None
    """The signed message id; None if the scheme has none."""
    transaction_id: UUID | None = None
    """The only transaction that the webhook may concern; None: any transaction of the provider."""


def authenticate(
    provider: Provider, headers: Mapping[str, str], body: bytes, *, url: tuple[UUID, str] | None
) -> Sender:
    """Return the proven sender of a webhook. `url` holds the id and the token in its URL. Raises Refused."""
    match provider.webhook_auth:
        case Provider.Auth.URL_TOKEN:
            return _url_token(provider, url)
        case Provider.Auth.STRIPE:
            return _stripe(provider, headers, body)
        case Provider.Auth.HMAC_SHA256:
            return _hmac_sha256(provider, headers, body)
    return _standard(provider, headers, body)


def _standard(provider: Provider, headers: Mapping[str, str], body: bytes) -> Sender:
    """Standard Webhooks: require a `v1` signature over id, timestamp and body with any live secret.

    Svix sends the same headers under its own name. Each name must prove the webhook with its own three headers.
    """
    found = [[headers.get(f"{name}-{part}", "") for part in STANDARD_PARTS] for name in ("webhook", "svix")]
    refused = Refused("missing_headers")
    for id_, timestamp, given in filter(all, found):
        try:
            return _standard_sender(provider, id_, timestamp, given, body)
        except Refused as error:
            refused = error
    raise refused


def _standard_sender(provider: Provider, id_: str, timestamp: str, given: str, body: bytes) -> Sender:
    if len(id_) > 255:
        raise Refused("malformed_headers")
    _fresh(timestamp)
    signed = f"{id_}.{timestamp}.".encode() + body
    _require_match(_standard_signatures(provider, signed), given.encode()[:4096].split())
    return Sender(id_)


def _standard_signatures(provider: Provider, signed: bytes) -> Iterator[bytes]:
    """Sign with each live secret. The package `standardwebhooks` signs only text, and reformats timestamps."""
    for secret in provider.live_secrets:
        try:
            key = secret_bytes(secret)
        except ValueError:  # a secret of another scheme, which the provider used before
            continue
        yield b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))


def _stripe(provider: Provider, headers: Mapping[str, str], body: bytes) -> Sender:
    """`t=<seconds>,v1=<hex>,…`: require a `v1` over timestamp and body with any live secret, as Stripe's package does.

    Unlike that package, refuse a timestamp that is not all digits or is too far in the future.
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
    keys = [secret.encode() for secret in provider.live_secrets]
    _require_match((hmac.digest(key, signed, "sha256").hex().encode() for key in keys), candidates)
    return Sender(None)


def _hmac_sha256(provider: Provider, headers: Mapping[str, str], body: bytes) -> Sender:
    """Require the body's HMAC in the provider's header. It covers no timestamp: a replay is detected by its body."""
    name = provider.webhook_signature_header.replace("_", "-")  # a web server treats both alike
    given = headers.get(name, "").strip()
    if not given:
        raise Refused("missing_headers")
    mark = _mac(given.removeprefix(provider.webhook_signature_prefix))
    _require_match((hmac.digest(secret.encode(), body, "sha256") for secret in provider.live_secrets), [mark])
    return Sender(None)


def _url_token(provider: Provider, url: tuple[UUID, str] | None) -> Sender:
    if url is None:
        raise Refused("missing_token")
    id_, token = url
    _require_match((right.encode() for right in url_tokens(provider.slug, id_)), [token.encode()], "wrong_token")
    return Sender(None, id_)


def _require_match(expected: Iterable[bytes], candidates: Sequence[bytes], reason: str = "wrong_signature") -> None:
    """Compare each pair in constant time. Raises Refused unless one is equal."""
    if not any(hmac.compare_digest(one, other) for one in expected for other in candidates):
        raise Refused(reason)


def _fresh(timestamp: str) -> int:
    """Return a timestamp's seconds. Raises Refused if it is malformed, or stale by the database's clock."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise Refused("malformed_headers")
    if abs(clock.database.now().timestamp() - int(timestamp)) > TOLERANCE:
        raise Refused("stale_timestamp")
    return int(timestamp)


def _mac(text: str) -> bytes:
    """Decode a MAC in hex or base64. Raises Refused."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("malformed_headers") from None
