"""What the third party remembers. Times are unix seconds."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.orders import Order


class Copy(NamedTuple):
    """What one create brought into being, or will."""

    order: Order
    appears_at: float
    settled_at: float
    before: str  # the status until it settles
    final: str

    def status(self, now: float) -> str:
        """The word a GET shows at `now`, once it has appeared."""
        return self.final if now >= self.settled_at else self.before


class CreateCall(NamedTuple):
    at: float
    http: int  # 0: dropped without an answer
    status: str | None  # the word in the answer


class Delivery(NamedTuple):
    at: float
    status: str
    http: int | None  # None: no answer came


@dataclass(slots=True)
class Transaction:
    """One id; without a behaviour it has been asked for by GET, but no create has come."""

    reference: str | None = None
    behaviour: str | None = None
    copies: list[Copy] = field(default_factory=list)
    creates: list[CreateCall] = field(default_factory=list)
    webhooks: list[Delivery] = field(default_factory=list)
    polls: int = 0  # GETs that found it
    checks: int = 0  # GETs answered 404

    def present(self, now: float) -> Copy | None:
        """What a GET sees: the copy that appeared last, so a late ghost overwrites a later create."""
        there = [copy for copy in self.copies if copy.appears_at <= now]
        return max(there, key=lambda copy: copy.appears_at, default=None)

    def state(self, now: float) -> dict[str, object]:
        """Its part of /state; `appears_at` and `settled_at` may lie ahead."""
        present = self.present(now)
        shown = present or min(self.copies, key=lambda copy: copy.appears_at, default=None)
        return {
            "reference": self.reference,
            "behaviour": self.behaviour,
            "status": present.status(now) if present else None,
            "created": present is not None,
            "copies": len(self.copies),
            "creates": len(self.creates),
            "create_calls": [call._asdict() for call in self.creates],
            "first_create_at": self.creates[0].at if self.creates else None,
            "appears_at": shown.appears_at if shown else None,
            "settled_at": shown.settled_at if shown else None,
            "webhooks": [delivery._asdict() for delivery in self.webhooks],
            "polls": self.polls,
            "checks": self.checks,
        }
