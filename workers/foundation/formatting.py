"""Formatting of bounded counts and durations."""

MOST = 10_000
"""Upper bound for counts shown on pages: counting a million rows takes longer than the rest of the page."""


class AtLeast(int):
    """A count that stopped at its bound."""

    def __str__(self) -> str:
        return f"{int(self):,} or more"


def at_most(count: int, most: int | None) -> int:
    """Mark a count that has reached its bound (None: it had none): there may be more."""
    return AtLeast(count) if most and count >= most else count


def span(seconds: float) -> str:
    """Format a duration, such as `230 ms` or `2.4 s`."""
    for unit, size, most in (("ms", 0.001, 1000), ("s", 1.0, 90), ("min", 60.0, 90), ("h", 3600.0, 36)):
        if seconds < most * size:
            count = seconds / size
            return f"{count:.2g} {unit}" if count < 9.95 else f"{round(count)} {unit}"
    return f"{round(seconds / 86400)} days"
