"""rates."""

import re

from django.core.exceptions import ValidationError
from limits import RateLimitItem, parse

RATE = r"^(none|[1-9][0-9]{0,8}/(second|minute|hour))?$"
"""A rate as PostgreSQL and Python read it alike. Empty is the service's default, `none` is no limit."""


def validate_rate(rate: str) -> None:
    """Raise ValidationError unless `rate` is one."""
    if not re.fullmatch(RATE, rate):
        raise ValidationError("Give requests per second, minute or hour, such as 100/second; or none.")


def rate_limit(rate: str, default: str) -> RateLimitItem | None:
    """The limit of a client with this `rate`, where the service's own is `default`; None: no limit."""
    rate = rate or default
    return parse(rate) if rate and rate != "none" else None
