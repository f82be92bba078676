"""System checks of the notification settings."""

from collections.abc import Iterator

from django.conf import settings

from webhooks.outgoing.notify import TIMEOUT
from workers.foundation.checks import Rule, register_rules
from workers.kinds import LEASE_MARGIN


@register_rules
def notifications() -> Iterator[Rule]:
    too_short = settings.NOTIFY_LEASE < TIMEOUT + LEASE_MARGIN
    hint = f"Set it to at least {TIMEOUT + LEASE_MARGIN:g} seconds: an endpoint has {TIMEOUT:g} seconds to answer"
    yield too_short, "webhooks.E001", "NOTIFY_LEASE is shorter than a delivery may take", hint
    hint = "Set the seconds for which all deliveries to an endpoint must fail before it is disabled, such as 432000"
    yield settings.ENDPOINT_DISABLED_AFTER <= 0, "webhooks.E002", "ENDPOINT_DISABLED_AFTER is not positive", hint
