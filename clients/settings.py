"""Clients' settings as the hot path reads them: frozen, and at most two seconds old in every process."""

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any, ClassVar
from uuid import UUID, uuid5

import structlog
from cachetools import cached
from django.conf import settings
from django.db import Error, connection
from django.db.models.functions import Now
from limits import RateLimitItem, parse

from clients import sql
from clients.models import ApiKey, Client
from workers.foundation.cache import settings_cache
from workers.foundation.database import drop_lost, retry_once
from workers.foundation.fields import not_expired
from workers.lanes import STOPPED, Lane, Limit

log = structlog.get_logger(__name__)

MINUTE = timedelta(minutes=1)
"""Precision of an API key's last use."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """A client's row and its live callback secrets, which its `repr` leaves out."""

    is_authenticated: ClassVar = True
    """DRF reads it: `request.user` is the client."""
    id: int
    name: str
    namespace: UUID
    enabled: bool
    default_provider: int | None
    callback_url: str
    callback_method: str
    callback_body: dict[str, Any] | None
    endpoint_disabled: bool
    callback_secrets: tuple[str, ...] = field(repr=False)
    rate_limit: RateLimitItem | None
    """None: no limit."""

    @property
    def lane(self) -> Lane:
        """The lane of its notifications."""
        return Lane.client(self.id)

    def transaction_id(self, client_ref: str) -> UUID:
        """Return the id that providers get for the transaction with this id of the client.

        The same one for ever, even in a database that has lost the transaction: a status check then finds the copy
        that the provider has. The namespace is random and not the client's number or name: numbers repeat after a loss
        of commits, and a name can pass to another client or exist in a test system at the same provider.
        """
        return uuid5(self.namespace, client_ref)


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The client of an API key; `usable` is False once the key is revoked or expired."""

    client_id: int
    usable: bool


def _read_client(key: int) -> ClientSettings | None:
    found = Client.objects.filter(pk=key).first()
    if found is None:
        return None
    rate = found.rate_limit or settings.CLIENT_RATE_LIMIT or "none"
    return ClientSettings(
        id=found.pk,
        name=found.name,
        namespace=found.namespace,
        enabled=found.enabled,
        default_provider=found.default_provider_id,
        callback_url=found.callback_url,
        callback_method=found.callback_method,
        callback_body=found.callback_body,
        endpoint_disabled=found.endpoint_disabled_at is not None,
        callback_secrets=tuple(found.callback_secrets.filter(not_expired()).values_list("secret", flat=True)),
        rate_limit=None if rate == "none" else parse(rate),
    )


def _read_owner(digest: str) -> KeyOwner | None:
    key = ApiKey.objects.filter(digest=digest).annotate(now=Now()).first()
    if key is None:
        return None
    usable = key.revoked_at is None and (key.expires_at is None or key.expires_at > key.now)
    if usable and (key.last_used_at is None or key.now - key.last_used_at > MINUTE):
        _record_use(key)
    return KeyOwner(key.client_id, usable)


def _record_use(key: ApiKey) -> None:
    """Record the use without waiting for a lock; a failure is logged and fails no request."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.RECORD_USE, {"key": key.pk})
    except Error as error:
        context = {"key": str(key), "error": type(error).__name__}
        log.warning("The last use of an API key could not be recorded", action="use_not_recorded", key=context)
        drop_lost(error)


@cached(settings_cache(), lock=Lock())
def client_settings(client_id: int) -> ClientSettings | None:
    """Return a client's settings; None if there is no such client."""
    return retry_once(lambda: _read_client(client_id))


@cached(settings_cache(), lock=Lock())
def key_owner(digest: str) -> KeyOwner | None:
    """Return the owner of an API key by the SHA-256 of the key; None if there is no such key."""
    return retry_once(lambda: _read_owner(digest))


def client_limit(lane: Lane) -> Limit:
    """Return the limits of a client's lane; it is stopped while the endpoint is disabled or no secret is live."""
    found = client_settings(lane.owner_id)
    if found is None or found.endpoint_disabled or not found.callback_secrets:
        return STOPPED
    return Limit(settings.NOTIFICATIONS_IN_FLIGHT)
