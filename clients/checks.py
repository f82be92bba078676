"""System check of the clients' rate limit."""

from collections.abc import Iterator

from django.conf import settings

from clients.models import validate_rate
from workers.foundation.checks import Rule, error_of, register_rules


@register_rules
def rate_limit() -> Iterator[Rule]:
    error = error_of(validate_rate, settings.CLIENT_RATE_LIMIT)
    yield error, "clients.E001", "CLIENT_RATE_LIMIT is not a rate", error
