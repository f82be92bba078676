"""System checks of TRUSTED_PROXIES, and of the providers' timeouts, which must fit into leases, calls and secrets."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from providers.addresses import proxies
from providers.fields import validate_base_url, validate_headers, validate_path, validate_status_path
from providers.models import (
    BEFORE_CREATE,
    READ_TIMEOUT,
    UNVERIFIABLE,
    Provider,
    longest_create_timeout,
    without_webhook_secret,
)
from workers.foundation.checks import Rule, error_of, register_row_checks, register_rules
from workers.foundation.encryption import SecretUnreadable
from workers.kinds import LEASE_MARGIN

CALLS = {
    "base_url": validate_base_url,
    "create_path": validate_path,
    "status_path": validate_status_path,
    "headers": validate_headers,
}
"""Settings with which calls could silently do the wrong thing, and their validators."""


@register_rules
def leases_and_proxies() -> Iterator[Rule]:
    hint = f"Set it to {BEFORE_CREATE:g} seconds plus the longest create_timeout of your providers"
    yield longest_create_timeout() < 1, "providers.E001", "CREATE_LEASE leaves no time for a create", hint
    too_short = settings.TRACK_LEASE < READ_TIMEOUT + LEASE_MARGIN
    hint = f"Set it to at least {READ_TIMEOUT + LEASE_MARGIN:g} seconds: a poll may take {READ_TIMEOUT:g} seconds"
    yield too_short, "providers.E002", "TRACK_LEASE is shorter than a poll may take", hint
    error = error_of(proxies, settings.TRUSTED_PROXIES)
    hint = "Set the number of proxies that each request passes, or their comma-separated addresses and networks"
    yield error, "providers.E004", f"TRUSTED_PROXIES is invalid: {error}", hint


@register_row_checks
def timeouts_and_secrets() -> Iterator[CheckMessage]:
    providers = Provider.objects.only("slug", "create_timeout")
    for provider in providers.filter(create_timeout__gt=longest_create_timeout()):
        yield Error(
            f"The create_timeout of provider {provider.slug}, {provider.create_timeout:g} s, exceeds the job lease",
            hint=f"Raise CREATE_LEASE to {provider.create_timeout + BEFORE_CREATE:g} seconds, or lower create_timeout",
            id="providers.E003",
        )
    for provider in providers.filter(without_webhook_secret()):
        yield Warning(
            f"Provider {provider.slug} {UNVERIFIABLE}",
            hint=f"Add one on its page in the admin, or run manage.py createsecret --provider {provider.slug}",
            id="providers.W001",
        )


@register_row_checks
def calls() -> Iterator[CheckMessage]:
    """Find settings that no form accepts: an older release or SQL has written them."""
    for provider in Provider.objects.only("slug", *CALLS.keys() - {"headers"}):
        for name, validate in CALLS.items():
            if error := error_of(validate, _setting(provider, name)):
                yield Error(
                    f"Provider {provider.slug}: {name} is invalid: {error}",
                    hint=f"Correct it with manage.py shell: Provider.objects.filter(slug={provider.slug!r})"
                    f".update({name}=...)",
                    id="providers.E005",
                )


def _setting(provider: Provider, name: str) -> Any:
    """Return a setting; for headers that cannot be decrypted an empty object, since calls with them fail."""
    try:
        return getattr(provider, name)
    except SecretUnreadable:
        return {}
