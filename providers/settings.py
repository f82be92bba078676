"""Providers as the hot path reads them: with their live secrets, and at most two seconds old in every process.

Callers share the cached objects: they only read them.
"""

from threading import Lock
from typing import Any

from cachetools import cached

from providers.models import Provider
from workers import clock
from workers.foundation.cache import settings_cache
from workers.foundation.database import retry_once
from workers.foundation.fields import not_expired
from workers.lanes import STOPPED, Lane, Limit


def _read(**key: Any) -> Provider | None:
    """Read a provider and, in the same query, the database's clock, which `webhooks.incoming` checks timestamps by."""
    sent = clock.elapsed()
    found = Provider.objects.filter(**key).annotate(now=clock.CLOCK_TIMESTAMP).first()
    if found is not None:
        clock.database.observe(clock.Reading(found.now, sent, clock.elapsed()))
        found.live_secrets = tuple(found.webhook_secrets.filter(not_expired()).values_list("secret", flat=True))
    return found


@cached(settings_cache(), lock=Lock())
def provider_by_id(provider_id: int) -> Provider | None:
    """Return a provider with its `live_secrets`; None if there is no such provider."""
    return retry_once(lambda: _read(pk=provider_id))


@cached(settings_cache(), lock=Lock())
def slugs() -> frozenset[str]:
    """Return the slugs of all providers: strangers may ask for any number of others, which must not cost a read."""
    return retry_once(lambda: frozenset(Provider.objects.values_list("slug", flat=True)))


@cached(settings_cache(), lock=Lock())
def provider_by_slug(slug: str) -> Provider | None:
    """Return a provider with its `live_secrets`; None if there is no such provider."""
    return retry_once(lambda: _read(slug=slug))


def provider_limit(lane: Lane) -> Limit:
    """Return the limits of a provider's lane; it is stopped while the provider is paused."""
    found = provider_by_id(lane.owner_id)
    if found is None or found.paused:
        return STOPPED
    return Limit(found.max_in_flight, found.max_calls_per_second, found.circuit_breaker, counted=True)
