"""Throughput before, during and after each fault, in notified final statuses per second."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WINDOW = 2.0
"""Length of the throughput windows in seconds."""
STEP = 0.1
BEFORE = 5.0
"""Seconds before a fault over which the reference throughput is measured."""
RECOVERED_RATIO = 0.8
WITHIN = 10.0
"""Within WITHIN seconds of the fault's end, the throughput must reach RECOVERED_RATIO of the reference throughput."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Fault with its actual start and end, in Unix seconds."""

    kind: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery from one fault. Rates are notified final statuses per second.

    `after`: seconds from the fault's end to the first window with enough throughput; None if there was none before the
    next fault. `seen`: seconds that were searched for such a window.
    """

    fault: Happened
    before: float
    during: float
    after: float | None
    seen: float

    @property
    def too_slow(self) -> bool:
        """Return True if the recovery exceeded the limit. False if the next fault came before the limit."""
        return self.seen + WINDOW >= WITHIN if self.after is None else self.after > WITHIN


def told_at(client: dict[str, dict[str, Any]]) -> list[float]:
    """Return the sorted times of the first final notification of each transaction."""
    firsts = (
        next((news["at"] for news in told["notifications"] if news["status"] != "pending"), None)
        for told in client.values()
    )
    return sorted(at for at in firsts if at is not None)


def recoveries(faults: Sequence[Happened], told: Sequence[float], *, offered: float, end: float) -> list[Recovery]:
    """Return one recovery for each fault.

    `offered` is the load's rate, which is the throughput without faults. A higher rate before a fault is only the
    backlog of the previous fault, and is not counted. `end` is the time when the load ended.
    """
    limits = [fault.began for fault in faults[1:]] + [end]
    return [_recovery(fault, told, offered, limit) for fault, limit in zip(faults, limits, strict=True)]


def _recovery(fault: Happened, told: Sequence[float], offered: float, limit: float) -> Recovery:
    before = _rate(told, fault.began - BEFORE, fault.began)
    during = _rate(told, fault.began, max(fault.ended, fault.began + WINDOW))
    enough = RECOVERED_RATIO * min(offered, before) if before > 0 else RECOVERED_RATIO * offered
    seen = max(0.0, limit - fault.ended - WINDOW)
    for step in range(int(seen / STEP) + 1):
        start = fault.ended + step * STEP
        if _rate(told, start, start + WINDOW) >= enough:
            return Recovery(fault, before, during, step * STEP, seen)
    return Recovery(fault, before, during, None, seen)


def _rate(told: Sequence[float], since: float, until: float) -> float:
    return (bisect_left(told, until) - bisect_left(told, since)) / (until - since)
