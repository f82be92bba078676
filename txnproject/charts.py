"""Stacked columns as SVG: where everything lies. The template draws it, the stylesheet gives it its colours."""

from collections.abc import Sequence
from dataclasses import dataclass

from transactions.overview import BROUGHT, Column
from transactions.status import FINAL
from txnproject.templatetags.relay import clock, number

WIDE, GAP, HIGH = 10, 2, 100
"""A column with its gap, the gap, and the whole chart, in units that the page stretches to its own size."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One column in words: when it began, and its counts in the order of `BROUGHT`."""

    x: int
    at: str
    counts: list[str]

    def __str__(self) -> str:
        return f"{self.at}: {', '.join(f'{count} {name}' for count, name in zip(self.counts, BROUGHT, strict=True))}"


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    title: str
    top: int
    """The value at the upper end of the axis."""
    bars: list[Bar]
    paths: dict[str, str]
    """By final status, what SVG calls the data of a path: its part of all columns."""
    line: str
    """The points of what was accepted."""
    labels: list[str]
    """Times at equal distances below the axis."""
    said: str
    """What it shows, in a sentence."""

    @property
    def width(self) -> int:
        return WIDE * len(self.bars)

    @property
    def half(self) -> int:
        return self.top // 2

    @property
    def newest_first(self) -> list[Bar]:
        return self.bars[::-1]


def stacked(name: str, title: str, columns: Sequence[Column], *, labels: int) -> Chart:
    """The final statuses as stacked columns, what was accepted as a line; so many columns are labelled."""
    top = round_up(max(max(one.counts["accepted"], sum(one.counts[status] for status in FINAL)) for one in columns))
    paths = dict.fromkeys(map(str, FINAL), "")
    for n, column in enumerate(columns):
        y = float(HIGH)
        for status in paths:
            if height := HIGH * column.counts[status] / top:
                y -= height
                paths[status] += f"M{WIDE * n + GAP // 2} {y:.2f}h{WIDE - GAP}v{height:.2f}h-{WIDE - GAP}z"
    sums = (f"{sum(one.counts[what] for one in columns):,} {what}" for what in BROUGHT)
    line = (f"{WIDE * n + WIDE // 2},{HIGH - HIGH * one.counts['accepted'] / top:.2f}" for n, one in enumerate(columns))
    return Chart(
        name=name,
        title=title,
        top=top,
        bars=[
            Bar(WIDE * n, clock(one.at), [number(one.counts[what]) for what in BROUGHT])
            for n, one in enumerate(columns)
        ],
        paths=paths,
        line=" ".join(line),
        labels=[f"{columns[round(n * (len(columns) - 1) / (labels - 1))].at:%H:%M}" for n in range(labels)],
        said=", ".join(sums),
    )


def round_up(value: int) -> int:
    """The next even number that is easy to halve and to read: 10, 20, 50, 100, 200, 500 and so on."""
    size = 10
    while True:
        for factor in (1, 2, 5):
            if value <= factor * size:
                return factor * size
        size *= 10
