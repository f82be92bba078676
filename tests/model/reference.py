"""The rules in plain Python: what a transaction's status may do, and when it may be created. No clock, no database."""

from dataclasses import dataclass, field

FINAL = ("completed", "declined", "failed")

MOVES = {
    "waiting": {"waiting", "running", "cancelled", "failed"},  # failed: given up by name, claimed and settled in one go
    "running": {"running", "waiting", "done", "failed"},
    "failed": {"failed", "waiting", "cancelled"},  # cancelled: the client was told after all
    "done": {"done"},
    "cancelled": {"cancelled"},
}
"""What a job's state may be after one step, by what it was before."""


@dataclass
class Create:
    """One create, as the provider got it. `open`: it may still take effect, until the settle window is over."""

    at: float
    open: bool = True
    landed: bool = False


@dataclass
class Transaction:
    """What is true of one transaction; `wrong` collects what must never happen."""

    window: float
    status: str = "pending"
    timeline: list[tuple[str, str]] = field(default_factory=lambda: [("pending", "api")])
    """Its changes: the status and who brought it."""
    contradictions: list[tuple[str, str]] = field(default_factory=list)
    refused: bool = False
    """The provider refused a create."""
    words: set[str] = field(default_factory=set)
    """Final statuses that anybody told us."""
    creates: list[Create] = field(default_factory=list)
    copy: str = ""
    """The provider's copy: its status, or empty where it has none."""
    told: list[int] = field(default_factory=list)
    """Sequences whose notification was begun, in order."""
    heard: set[int] = field(default_factory=set)
    """Sequences that the client confirmed."""
    wrong: list[str] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        return len(self.timeline)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    def hear(self, word: str, source: str) -> str:
        """News: the first final status wins, another one contradicts. Returns what a webhook is recorded as."""
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
        """The provider gets a create: never while an earlier one has taken effect or may still do so, of which only a
        look that found nothing (`look_at`: when it began) is a proof."""
        if any(one.open and (look_at is None or look_at < one.at + self.window) for one in self.creates):
            self.wrong.append("created again without a proof of absence")
        if self.copy:
            self.wrong.append("created again what the provider has")
        if self.may_land(now):
            self.wrong.append("created again inside the settle window")
        self.creates.append(Create(now))
        return self.creates[-1]

    def land(self, create: Create, status: str) -> None:
        """A create takes effect."""
        create.open, create.landed = False, True
        self.copy = self.copy or status

    def decide(self, status: str) -> str:
        """The provider is asked: a copy that is pending may have become final by now. Its status then."""
        if self.copy == "pending":
            self.copy = status
        return self.copy

    def proves_absence(self, look_at: float, retries: int) -> bool:
        """Whether a look that began then and found nothing proves that no create took effect, all retries used up."""
        return (
            not self.copy
            and len(self.creates) > retries
            and all(look_at >= one.at + self.window for one in self.creates if one.open)
        )

    def begin_telling(self, status: str, sequence: int, key: str) -> None:
        """A notification is sent: the truth as it is, by the job of this status (`key`), and never backwards."""
        if key.startswith("seq:") and key != f"seq:{self.sequence}":
            self.wrong.append(f"the news {key} is told when it is over")
        if (status, sequence) != (self.status, self.sequence):
            self.wrong.append(f"told {status} {sequence} when it was {self.status} {self.sequence}")
        if self.told and sequence < self.told[-1]:
            self.wrong.append(f"told {sequence} after {self.told[-1]}")
        self.told.append(sequence)
