"""Settings of clients and providers as the hot path reads them: frozen, and at most two seconds old in each process."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import structlog
from cachetools import TTLCache, cached
from django.conf import settings
from django.db import Error, connection
from django.db.models import Q
from limits import RateLimitItem

from transactions import sql
from transactions.database import retry_once
from transactions.models import ApiKey, Client, Provider
from transactions.rates import rate_limit
from workers.registry import Limit

log = structlog.get_logger(__name__)

FRESH = 2.0
"""Seconds for which a value is cached: a revoked key is refused after that."""
MOST = 10_000
"""Limit on the values in each cache."""
MINUTE = timedelta(minutes=1)
"""How exactly the last use of a key is known."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A provider's row and its live webhook secrets; durations in seconds. See `transactions.models.Provider`.

    What is secret is left out of its `repr`: a log or a traceback that shows settings shows nothing of it.
    """

    id: int
    slug: str
    adapter: str
    base_url: str
    create_path: str
    status_path: str
    create_body: dict[str, Any]
    headers: dict[str, str] = field(repr=False)
    status_field: str
    status_map: dict[str, str]
    create_timeout: float
    settle_window: float
    create_retries: int
    create_retry_delay: float
    first_poll: float
    second_poll: float
    poll_growth: float
    poll_cap: float
    track_for: float
    track_grace: float
    max_in_flight: int
    max_calls_per_second: float | None
    circuit_breaker: bool
    check_before_create: bool
    paused: bool
    webhook_auth: str
    webhook_signature_header: str
    webhook_signature_prefix: str
    webhook_allowed_ips: str
    webhook_id_field: str
    webhook_status_field: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def lane(self) -> str:
        return f"p{self.id}"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """A client's row and its live callback secrets, which its `repr` leaves out."""

    id: int
    name: str
    enabled: bool
    default_provider: int | None
    callback_url: str
    callback_method: str
    callback_body: dict[str, Any] | None
    endpoint_disabled: bool
    callback_secrets: tuple[str, ...] = field(repr=False)
    rate_limit: RateLimitItem | None

    @property
    def lane(self) -> str:
        return f"c{self.id}"


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Who an API key belongs to, and whether the key itself may be used. DRF asks its users whether they are
    authenticated."""

    client_id: int
    usable: bool
    is_authenticated: bool = True


def _provider(found: Provider | None) -> ProviderSettings | None:
    if found is None:
        return None
    fields = {name: getattr(found, name) for name in ProviderSettings.__dataclass_fields__ if name != "webhook_secrets"}
    secrets = found.webhook_secrets.filter(_live()).values_list("secret", flat=True)
    return ProviderSettings(**fields, webhook_secrets=tuple(secrets))


def _client(key: int) -> ClientSettings | None:
    found = Client.objects.filter(pk=key).first()
    if found is None:
        return None
    return ClientSettings(
        id=found.pk,
        name=found.name,
        enabled=found.enabled,
        default_provider=found.default_provider_id,
        callback_url=found.callback_url,
        callback_method=found.callback_method,
        callback_body=found.callback_body,
        endpoint_disabled=found.endpoint_disabled_at is not None,
        callback_secrets=tuple(found.callback_secrets.filter(_live()).values_list("secret", flat=True)),
        rate_limit=rate_limit(found.rate_limit, settings.CLIENT_RATE_LIMIT),
    )


def _live() -> Q:
    return Q(expires_at__isnull=True) | Q(expires_at__gt=datetime.now(UTC))


def _owner(digest: str) -> KeyOwner | None:
    key = ApiKey.objects.filter(digest=digest).first()
    if key is None:
        return None
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    usable = key.revoked_at is None and not expired
    if usable and (key.last_used_at is None or datetime.now(UTC) - key.last_used_at > MINUTE):
        _note_use(key)
    return KeyOwner(key.client_id, usable)


def _note_use(key: ApiKey) -> None:
    """No request fails for it, and none waits: see `sql.USED`."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.USED, {"key": key.pk})
    except Error as error:
        said = {"key": str(key), "error": type(error).__name__}
        log.warning("The last use of an API key could not be noted", action="use_not_noted", key=said)


# The cached reads: not found (None) is remembered as well. The lock is not held while the database is read.


@cached(TTLCache(MOST, FRESH), lock=Lock())
def client_settings(client_id: int) -> ClientSettings | None:
    """Return a client's settings; None: no such client."""
    return retry_once(lambda: _client(client_id))


@cached(TTLCache(MOST, FRESH), lock=Lock())
def provider_by_id(provider_id: int) -> ProviderSettings | None:
    """Return a provider's settings; None: no such provider."""
    return retry_once(lambda: _provider(Provider.objects.filter(pk=provider_id).first()))


@cached(TTLCache(MOST, FRESH), lock=Lock())
def provider_by_slug(slug: str) -> ProviderSettings | None:
    """Return a provider's settings; None: no such provider."""
    return retry_once(lambda: _provider(Provider.objects.filter(slug=slug).first()))


@cached(TTLCache(MOST, FRESH), lock=Lock())
def key_owner(digest: str) -> KeyOwner | None:
    """Return the owner of an API key by the key's digest; None: no such key."""
    return retry_once(lambda: _owner(digest))


CACHED = (client_settings, provider_by_id, provider_by_slug, key_owner)


def clear_caches() -> None:
    """Forget all cached settings; for commands that have changed settings, and for tests."""
    for read in CACHED:
        read.cache_clear()


def provider_limit(lane: str) -> Limit:
    """What a provider's lane may do; nothing while it is paused."""
    found = provider_by_id(int(lane[1:]))
    if found is None or found.paused:
        return Limit()
    return Limit(found.max_in_flight, found.max_calls_per_second, found.circuit_breaker)


def client_limit(lane: str) -> Limit:
    """What a client's lane may do; nothing while its endpoint is disabled."""
    found = client_settings(int(lane[1:]))
    if found is None or found.endpoint_disabled:
        return Limit()
    return Limit(settings.NOTIFICATIONS_IN_FLIGHT)
