"""Figures as people read them: counts that end, and how long something took."""

MOST = 10_000
"""Rows that are counted, unless another bound is said: whether there are 10,000 or a million matters to nobody, and
counting on costs more than the page."""


class AtLeast(int):
    """A count that was not carried on."""

    def __str__(self) -> str:
        return f"{int(self):,} or more"


def at_most(count: int, most: int) -> int:
    """The count; where it ends at the bound there may be more, and it says so."""
    return AtLeast(count) if count >= most else count


def span(seconds: float) -> str:
    """How long something took, such as `230 ms` or `2.4 s`."""
    for unit, size, most in (("ms", 0.001, 1000), ("s", 1.0, 90), ("min", 60.0, 90), ("h", 3600.0, 36)):
        if seconds < most * size:
            count = seconds / size
            return f"{count:.2g} {unit}" if count < 9.95 else f"{round(count)} {unit}"
    return f"{round(seconds / 86400)} days"
