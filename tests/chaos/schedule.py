"""When which fault happens: drawn from a seed, so that a run can be repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

CALM = 5.0
"""Seconds of load before the first fault: the throughput that everything has to come back to."""
TIGHTEST = 0.15
"""The least share of the time to recover that a short run may leave."""


@dataclass(frozen=True, slots=True)
class Span:
    """How long a kind of fault lasts, and how long it is quiet after it, in seconds."""

    lasts: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One fault. `at`: seconds since the load began. `draw`: chooses whom it meets, where there is a choice."""

    at: float
    kind: str
    lasts: float
    draw: int


def draw_schedule(seed: int, seconds: float, spans: Mapping[str, Span]) -> Sequence[Slot]:
    """Every kind at least once, in a shuffled order, and more of them while the load lasts.

    Where `seconds` are too few for the quiet after each fault, that is cut down; raises ValueError where next to
    nothing of it would be left.
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
