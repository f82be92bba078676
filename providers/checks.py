"""System checks on what providers' settings allow and the jobs' leases must cover."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import Error as DatabaseError
from django.db import connection

from providers.addresses import proxies
from providers.models import LOOK_BEFORE, READ_TIMEOUT, Provider, longest_create_timeout
from workers.kinds import LEASE_MARGIN


@register
def check_leases(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if longest_create_timeout() < 1:
        hint = f"Give it {LOOK_BEFORE:g} seconds and the longest create_timeout of your providers"
        found.append(Error("CREATE_LEASE leaves no time for a create", hint=hint, id="providers.E001"))
    if settings.TRACK_LEASE < READ_TIMEOUT + LEASE_MARGIN:
        hint = f"Give it at least {READ_TIMEOUT + LEASE_MARGIN:g} seconds: a poll may take {READ_TIMEOUT:g}"
        found.append(Error("TRACK_LEASE is shorter than a poll may take", hint=hint, id="providers.E002"))
    return found


@register
def check_proxies(**_: Any) -> list[CheckMessage]:
    try:
        proxies(settings.TRUSTED_PROXIES)
    except ValueError as error:
        hint = "How many proxies each request comes through, or their comma separated addresses and networks"
        return [Error(f"TRUSTED_PROXIES makes no sense: {error}", hint=hint, id="providers.E004")]
    return []


@register(Tags.database)
def check_providers(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Run when a process starts to serve or to work: a provider that no job could ever serve is found then."""
    if not databases:
        return []
    try:
        too_long = list(Provider.objects.filter(create_timeout__gt=longest_create_timeout()))
    except DatabaseError:  # away, or not migrated yet: not this check's business
        connection.close()
        return []
    return [
        Error(
            f"The create_timeout of provider {provider.slug}, {provider.create_timeout:g} s, exceeds the job lease",
            hint=f"Raise CREATE_LEASE to {provider.create_timeout + LOOK_BEFORE:g} seconds, or lower the timeout",
            id="providers.E003",
        )
        for provider in too_long
    ]
