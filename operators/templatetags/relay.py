"""Formatting of numbers, times and states on the operators' pages."""

from datetime import UTC, datetime

from django import template

from workers.foundation.formatting import AtLeast, span

register = template.Library()
register.filter("span", span)


@register.filter
def number(count: int) -> str:
    return str(count) if isinstance(count, AtLeast) else f"{count:,}"


@register.filter
def percent(share: float) -> str:
    """Format a share from 0 to 1; show non-zero shares below 1 % as `< 1%`."""
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "< 1%"


@register.filter
def clock(time: datetime) -> str:
    """Format a time in UTC: hour and minute, with the date unless it is today."""
    at = time.astimezone(UTC)
    return f"{at:%H:%M}" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M}"


@register.filter
def exact(time: datetime | None) -> str:
    """Format a time in UTC, to the millisecond; empty for None."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}" if time else ""
