"""Geometry of stacked column charts in SVG. The template draws them; the stylesheet sets their colours."""

from collections.abc import Sequence
from typing import NamedTuple

from operators.dashboard.overview import BROUGHT, Column
from operators.templatetags.relay import clock, number
from providers.status import FINAL

WIDE, GAP, HIGH = 10, 2, 100
"""Width of a column including its gap, the gap, and the chart's height, in units that the page scales."""


class Bar(NamedTuple):
    """One column as text: the time at which it starts, and its counts in the order of `BROUGHT`."""

    x: int
    at: str
    counts: list[str]

    def __str__(self) -> str:
        return f"{self.at}: {', '.join(f'{count} {name}' for count, name in zip(self.counts, BROUGHT, strict=True))}"


class Chart(NamedTuple):
    """A chart, ready for the template."""

    name: str
    title: str
    top: int
    """The value at the upper end of the axis."""
    bars: list[Bar]
    paths: dict[str, str]
    """By final status, the path data of its part of all columns."""
    line: str
    """The points of the line of accepted transactions."""
    labels: list[str]
    """Times at equal distances below the axis."""
    said: str
    """The sums of all columns as text."""

    @property
    def width(self) -> int:
        return WIDE * len(self.bars)

    @property
    def half(self) -> int:
        return self.top // 2


def stacked(name: str, title: str, columns: Sequence[Column], *, labels: int) -> Chart:
    """Lay out final statuses as stacked columns and accepted transactions as a line; `labels` columns are labelled."""
    top = round_up(max(max(one.counts["accepted"], sum(one.counts[status] for status in FINAL)) for one in columns))
    paths = dict.fromkeys(map(str, FINAL), "")
    for n, column in enumerate(columns):
        y = float(HIGH)
        for status in paths:
            if height := HIGH * column.counts[status] / top:
                y -= height
                paths[status] += f"M{WIDE * n + GAP // 2} {y:.2f}h{WIDE - GAP}v{height:.2f}h-{WIDE - GAP}z"
    heights = (HIGH - HIGH * one.counts["accepted"] / top for one in columns)
    bars = [Bar(WIDE * n, clock(one.at), [number(one.counts[of]) for of in BROUGHT]) for n, one in enumerate(columns)]
    return Chart(
        name=name,
        title=title,
        top=top,
        bars=bars,
        paths=paths,
        line=" ".join(f"{WIDE * n + WIDE // 2},{y:.2f}" for n, y in enumerate(heights)),
        labels=[f"{columns[round(n * (len(columns) - 1) / (labels - 1))].at:%H:%M}" for n in range(labels)],
        said=", ".join(f"{sum(one.counts[of] for one in columns):,} {of}" for of in BROUGHT),
    )


def round_up(value: int) -> int:
    """Return the next of 10, 20, 50, 100, 200, 500 and so on: even, and easy to read."""
    size: int = 10 ** max(1, len(str(value - 1)) - 1)
    return next(factor * size for factor in (1, 2, 5, 10) if value <= factor * size)
