"""System checks on what a provider's settings allow and the jobs' leases must cover."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from transactions.models import Provider
from transactions.models.providers import LOOK_BEFORE, longest_create_timeout
from transactions.providers.http import READ_TIMEOUT
from workers.registry import LEASE_MARGIN


@register
def check_leases(**_: Any) -> list[CheckMessage]:
    default = Provider._meta.get_field("create_timeout").default
    found: list[CheckMessage] = []
    if longest_create_timeout() < default:
        hint = f"Give it at least {default + LOOK_BEFORE:g} seconds: a look, the create, and some to settle"
        found.append(Error("CREATE_LEASE is shorter than a create may take", hint=hint, id="transactions.E001"))
    if settings.TRACK_LEASE < READ_TIMEOUT + LEASE_MARGIN:
        hint = f"Give it at least {READ_TIMEOUT + LEASE_MARGIN:g} seconds: a poll may take {READ_TIMEOUT:g}"
        found.append(Error("TRACK_LEASE is shorter than a poll may take", hint=hint, id="transactions.E002"))
    return found
