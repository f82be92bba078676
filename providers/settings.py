"""Providers' settings as the hot path reads them: frozen, and at most two seconds old in every process."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from cachetools import cached

from providers.models import Provider
from workers.foundation.cache import settings_cache
from workers.foundation.database import retry_once
from workers.foundation.fields import not_expired
from workers.lanes import STOPPED, Lane, Limit


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A provider's row and its live webhook secrets; durations in seconds. See `providers.models.Provider`.

    Its `repr` leaves out the secrets, so a log or a traceback that shows settings shows none of them.
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
    def lane(self) -> Lane:
        """The lane of its calls."""
        return Lane.provider(self.id)


def _from_row(found: Provider | None) -> ProviderSettings | None:
    if found is None:
        return None
    fields = {name: getattr(found, name) for name in ProviderSettings.__dataclass_fields__ if name != "webhook_secrets"}
    secrets = found.webhook_secrets.filter(not_expired()).values_list("secret", flat=True)
    return ProviderSettings(**fields, webhook_secrets=tuple(secrets))


@cached(settings_cache(), lock=Lock())
def provider_by_id(provider_id: int) -> ProviderSettings | None:
    """Return a provider's settings; None if there is no such provider."""
    return retry_once(lambda: _from_row(Provider.objects.filter(pk=provider_id).first()))


@cached(settings_cache(), lock=Lock())
def provider_by_slug(slug: str) -> ProviderSettings | None:
    """Return a provider's settings; None if there is no such provider."""
    return retry_once(lambda: _from_row(Provider.objects.filter(slug=slug).first()))


def provider_limit(lane: Lane) -> Limit:
    """Return the limits of a provider's lane; it is stopped while the provider is paused."""
    found = provider_by_id(lane.owner_id)
    if found is None or found.paused:
        return STOPPED
    return Limit(found.max_in_flight, found.max_calls_per_second, found.circuit_breaker)
