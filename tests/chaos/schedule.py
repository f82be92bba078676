"""Schedule of faults, drawn from a seed so that a run can be repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

CALM = 5.0
"""Seconds of load before the first fault, which give its reference throughput."""
TIGHTEST = 0.15
"""Smallest share of the quiet periods that a short run may keep."""


@dataclass(frozen=True, slots=True)
class Span:
    """Duration of a fault and of the quiet period after it, in seconds."""

    lasts: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Slot:
    """Scheduled fault. `at`: seconds since the load began. `draw`: random number that selects the target."""

    at: float
    kind: str
    lasts: float
    draw: int


def draw_schedule(seed: int, seconds: float, spans: Mapping[str, Span]) -> Sequence[Slot]:
    """Return a schedule with every kind at least once, in random order, and more faults as time permits.

    If `seconds` is too short, the quiet periods are shortened. Raise ValueError if less than TIGHTEST of them would
    remain.
    """
    chance = Random(seed)
    order = list(spans)
    chance.shuffle(order)
    left = seconds - CALM - sum(spans[kind].lasts + spans[kind].quiet for kind in order)
    while spans:
        kind = chance.choice(list(spans))
        left -= spans[kind].lasts + spans[kind].quiet
        if left < 0:
            break
        order.append(kind)
    lasting, quiet = (sum(getattr(spans[kind], name) for kind in order) for name in ("lasts", "quiet"))
    share = min(1.0, (seconds - CALM - lasting) / quiet) if order else 1.0
    if share < TIGHTEST:
        least = CALM + lasting + TIGHTEST * quiet
        raise ValueError(f"{len(order)} faults need at least {least:.0f} seconds: give more, or name fewer kinds")
    return _in_turn(chance, order, spans, share)


def _in_turn(chance: Random, order: Sequence[str], spans: Mapping[str, Span], share: float) -> Sequence[Slot]:
    slots, at = [], CALM
    for kind in order:
        slots.append(Slot(at, kind, spans[kind].lasts, chance.randrange(2**31)))
        at += spans[kind].lasts + spans[kind].quiet * share
    return slots
