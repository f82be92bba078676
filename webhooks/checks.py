"""System checks on what a notification needs."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from webhooks.outgoing.notify import TIMEOUT
from workers.kinds import LEASE_MARGIN


@register
def check_patience(**_: Any) -> list[CheckMessage]:
    if settings.ENDPOINT_DISABLED_AFTER > 0:
        return []
    hint = "Seconds for which every delivery to an endpoint must have failed before it is disabled, such as 432000"
    return [Error("ENDPOINT_DISABLED_AFTER leaves an endpoint no time", hint=hint, id="webhooks.E002")]


@register
def check_lease(**_: Any) -> list[CheckMessage]:
    if settings.NOTIFY_LEASE >= TIMEOUT + LEASE_MARGIN:
        return []
    hint = f"Give it at least {TIMEOUT + LEASE_MARGIN:g} seconds: an endpoint may take {TIMEOUT:g} to confirm"
    return [Error("NOTIFY_LEASE is shorter than a notification may take", hint=hint, id="webhooks.E001")]
