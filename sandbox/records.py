"""Records of the third party. Times are in unix seconds."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.orders import Order


class Copy(NamedTuple):
    """The transaction that one create made, or will make: each create of an id has its own."""

    order: Order
    appears_at: float
    settled_at: float
    before: str  # status until it settles
    final: str

    def status(self, now: float) -> str:
        """Return the status at `now`, for a time after it has appeared."""
        return self.final if now >= self.settled_at else self.before


class CreateCall(NamedTuple):
    """One request to create the transaction."""

    at: float
    http: int  # 0: connection dropped without an answer
    status: str | None  # status in the answer's body


class Delivery(NamedTuple):
    """One webhook that was sent."""

    at: float
    status: str
    http: int | None  # None: no answer


@dataclass(slots=True)
class Transaction:
    """All records of one id; one that was read but never created has no behaviour."""

    reference: str | None = None
    behaviour: str | None = None
    copies: list[Copy] = field(default_factory=list)
    creates: list[CreateCall] = field(default_factory=list)
    webhooks: list[Delivery] = field(default_factory=list)
    polls: int = 0  # GETs that found it
    checks: int = 0  # GETs that did not
    odd_reads: int = 0  # GETs that were answered in an odd manner, since the first create and before it

    def present(self, now: float) -> Copy | None:
        """Return the copy that a GET shows: the last to appear, so that a late ghost overwrites a later create."""
        there = [copy for copy in self.copies if copy.appears_at <= now]
        return max(there, key=lambda copy: copy.appears_at, default=None)

    def state(self, now: float) -> dict[str, object]:
        """Return its part of /state; `appears_at` and `settled_at` may be in the future."""
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
            "odd_reads": self.odd_reads,
        }
