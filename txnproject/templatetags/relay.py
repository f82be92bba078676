"""How figures are written on the operators' pages."""

from datetime import UTC, datetime

from django import template

from workers.figures import AtLeast, span

register = template.Library()
register.filter("span", span)


@register.filter
def number(count: int) -> str:
    return str(count) if isinstance(count, AtLeast) else f"{count:,}"


@register.filter
def percent(share: float) -> str:
    """A share from 0 to 1; one that is not none is never shown as 0 %."""
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "< 1%"


@register.filter
def clock(time: datetime) -> str:
    """The hour and minute of today in UTC, and the day of what is older."""
    at = time.astimezone(UTC)
    return f"{at:%H:%M}" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M}"
