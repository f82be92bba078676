"""Throughput before, during and after each fault: final statuses told to the client, per second."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WINDOW = 2.0
"""Seconds over which throughput is measured."""
STEP = 0.1
BEFORE = 5.0
"""Seconds before a fault that its throughput is compared with."""
SHARE = 0.8
WITHIN = 10.0
"""The throughput must be back to SHARE of what it was WITHIN so many seconds of the fault's end."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault as it took place; unix seconds."""

    kind: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """Rates are final statuses told per second; `after`: seconds from the fault's end to the beginning of the first
    window with enough of them, None where there was none before the next fault; `seen`: how long one was looked for."""

    fault: Happened
    before: float
    during: float
    after: float | None
    seen: float

    @property
    def too_slow(self) -> bool:
        """Not within the time allowed. A next fault that came sooner than that leaves it open."""
        return self.seen + WINDOW >= WITHIN if self.after is None else self.after > WITHIN


def told_at(client: dict[str, dict[str, Any]]) -> list[float]:
    """When each transaction's client first heard its final status, sorted."""
    firsts = (
        next((news["at"] for news in told["notifications"] if news["status"] != "pending"), None)
        for told in client.values()
    )
    return sorted(at for at in firsts if at is not None)


def recoveries(faults: Sequence[Happened], told: Sequence[float], *, offered: float, end: float) -> list[Recovery]:
    """One for each fault. `offered` is the load's rate: in the open loop that is the throughput without faults, and
    what is above it before a fault is only the backlog of the one before. `end` is when the load ended."""
    limits = [fault.began for fault in faults[1:]] + [end]
    return [_recovery(fault, told, offered, limit) for fault, limit in zip(faults, limits, strict=True)]


def _recovery(fault: Happened, told: Sequence[float], offered: float, limit: float) -> Recovery:
    before = _rate(told, fault.began - BEFORE, fault.began)
    during = _rate(told, fault.began, max(fault.ended, fault.began + WINDOW))
    enough = SHARE * min(offered, before) if before > 0 else SHARE * offered
    seen = max(0.0, limit - fault.ended - WINDOW)
    for step in range(int(seen / STEP) + 1):
        start = fault.ended + step * STEP
        if _rate(told, start, start + WINDOW) >= enough:
            return Recovery(fault, before, during, step * STEP, seen)
    return Recovery(fault, before, during, None, seen)


def _rate(told: Sequence[float], since: float, until: float) -> float:
    return (bisect_left(told, until) - bisect_left(told, since)) / (until - since)
