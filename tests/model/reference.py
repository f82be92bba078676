"""Reference model in plain Python: rules for status changes and creates. It has no clock and no database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

FINAL = ("completed", "declined", "failed")

MOVES = {
    "waiting": {"waiting", "running", "cancelled", "failed"},  # failed: claimed by id and settled as failed in one step
    "running": {"running", "waiting", "done", "failed"},
    "failed": {"failed", "waiting", "cancelled"},  # cancelled: another job has notified the client
    "done": {"done"},
    "cancelled": {"cancelled"},
}
"""Allowed states of a job after one step, by its state before."""


DENIED_WITHIN = 60.0
"""Seconds within which 403 for two transactions pauses the provider."""


def may_pause(denied: Sequence[tuple[float, str]]) -> bool:
    """Return True if two of these transactions, with the times of their 403, were denied within DENIED_WITHIN."""
    return any(
        one != other and abs(at - later) <= DENIED_WITHIN for (at, one), (later, other) in combinations(denied, 2)
    )


@dataclass
class Create:
    """Create that the provider received. `open`: it may still take effect before the settle window ends."""

    at: float
    open: bool = True
    landed: bool = False


@dataclass
class Transaction:
    """Expected state of one transaction. `wrong` collects violations of the rules."""

    window: float
    status: str = "pending"
    timeline: list[tuple[str, str]] = field(default_factory=lambda: [("pending", "api")])
    """Status changes: the status and its source."""
    contradictions: list[tuple[str, str]] = field(default_factory=list)
    confirmed: bool = False
    """An answer or a webhook has proven that the provider knows it. A page, or a check without a status, does not."""
    refused: bool = False
    """The provider refused a create."""
    words: set[str] = field(default_factory=set)
    """Final statuses received from any source."""
    creates: list[Create] = field(default_factory=list)
    copy: str = ""
    """Status of the provider's copy; empty if the provider has none."""
    told: list[int] = field(default_factory=list)
    """Sequences of the notifications sent, in order."""
    heard: set[int] = field(default_factory=set)
    """Sequences of the notifications that the client confirmed."""
    wrong: list[str] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        return len(self.timeline)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    def hear(self, word: str, source: str) -> str:
        """Apply a reported status: the first final one wins, another one contradicts. Return the webhook's result."""
        if word not in FINAL:
            return "late" if self.final else "noted"
        self.words.add(word)
        if not self.final:
            self.status = word
            self.timeline.append((word, source))
            return "applied"
        if word == self.status:
            return "late"
        self.contradictions.append((word, source))
        return "contradicting"

    def may_land(self, now: float) -> list[Create]:
        return [one for one in self.creates if one.open and now < one.at + self.window]

    def begin_create(self, now: float, look_at: float | None) -> Create:
        """Record a create, and check that no earlier create has taken effect or may still do so.

        Only a status check that was answered 404 proves that. `look_at` is the time when it began.
        """
        if any(one.open and (look_at is None or look_at < one.at + self.window) for one in self.creates):
            self.wrong.append("created again without a proof of absence")
        if self.copy:
            self.wrong.append("created again although the provider has it")
        if self.may_land(now):
            self.wrong.append("created again inside the settle window")
        self.creates.append(Create(now))
        return self.creates[-1]

    def land(self, create: Create, status: str) -> None:
        """Let a create take effect."""
        create.open, create.landed = False, True
        self.copy = self.copy or status

    def decide(self, status: str) -> str:
        """Set a pending copy at the provider to `status`. Return the status of the copy."""
        if self.copy == "pending":
            self.copy = status
        return self.copy

    def proves_absence(self, look_at: float, retries: int) -> bool:
        """Return True if all retries are used up and a status check at `look_at` proves that no create took effect."""
        return (
            not self.copy
            and len(self.creates) > retries
            and all(look_at >= one.at + self.window for one in self.creates if one.open)
        )

    def begin_telling(self, status: str, sequence: int, key: str) -> None:
        """Record a notification by the job `key`. It must carry the current status, and never an earlier sequence."""
        if key.startswith("seq:") and key != f"seq:{self.sequence}":
            self.wrong.append(f"the outdated notification {key} is sent")
        if (status, sequence) != (self.status, self.sequence):
            self.wrong.append(f"notified {status} {sequence}, but it was {self.status} {self.sequence}")
        if self.told and sequence < self.told[-1]:
            self.wrong.append(f"notified {sequence} after {self.told[-1]}")
        self.told.append(sequence)
