"""Full state of the database, read after every step, and its comparison with the reference."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from tests.model.reference import MOVES, Transaction
from transactions.models import Event
from transactions.models import Transaction as Row
from workers.models import Job as JobRow

LEARNS = ("unsent", "unknown", "created", "refused")


class Facts(NamedTuple):
    status: str
    sequence: int
    submission: str
    review: str
    failure: str
    finalised: datetime | None
    informed: int


class Entry(NamedTuple):
    """Entry of the timeline."""

    kind: str
    status: str
    sequence: int | None
    source: str


class Job(NamedTuple):
    id: int
    transaction: str
    kind: str
    key: str
    state: str
    claim_count: int
    claim_token: UUID | None
    run_at: datetime
    lease_until: Any
    tries: int


@dataclass
class Stored:
    transactions: dict[str, Facts] = field(default_factory=dict)
    events: dict[str, list[Entry]] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Stored:
        found = cls()
        columns = ("status", "sequence", "submission", "review", "failure_code", "finalised_at", "notified_sequence")
        for id_, *facts in Row.objects.values_list("id", *columns):
            found.transactions[str(id_)] = Facts(*facts)
            found.events[str(id_)] = []
        entries = Event.objects.order_by("id")
        for id_, *entry in entries.values_list("transaction_id", *Entry._fields):
            found.events[str(id_)].append(Entry._make(entry))
        job_columns = ("kind", "key", "state", "claim_count", "claim_token", "run_at", "lease_until", "tries")
        for id_, of, *job in JobRow.objects.order_by("id").values_list("id", "transaction_id", *job_columns):
            found.jobs[id_] = Job(id_, str(of), *job)
        return found

    def of(self, state: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == state]

    def jobs_of(self, id_: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.transaction == id_]


def compare(id_: str, of: Transaction, before: Stored, now: Stored) -> None:
    """Assert that a stored transaction matches the reference, and that its change since `before` is allowed."""
    assert of.wrong == []
    facts, events = now.transactions[id_], now.events[id_]
    assert (facts.status, facts.sequence) == (of.status, of.sequence)
    story = [Entry("status", status, sequence, source) for sequence, (status, source) in enumerate(of.timeline, 1)]
    assert [entry for entry in events if entry.kind == "status"] == story
    assert [(one.status, one.source) for one in events if one.kind == "contradiction"] == of.contradictions
    assert bool(of.contradictions) == (facts.review == "contradiction")
    assert facts.failure or facts.status != "failed"
    assert not facts.failure or facts.status in ("failed", "declined")
    assert facts.submission != "created" or of.confirmed, "confirmed by an answer that proves nothing"
    assert facts.failure != "refused" or of.refused
    assert facts.informed <= max(of.heard, default=0)
    if id_ in before.transactions:
        _moved(before.transactions[id_], facts)
    _jobs(id_, of, before, now)


def _moved(was: Facts, facts: Facts) -> None:
    if was.status != "pending":
        assert facts[:2] == was[:2] and facts.finalised == was.finalised, "a final status has changed"
    assert facts.informed >= was.informed
    assert LEARNS.index(facts.submission) >= LEARNS.index(was.submission)
    assert was.submission != "created" or facts.submission == "created"


def _jobs(id_: str, of: Transaction, before: Stored, now: Stored) -> None:
    jobs = now.jobs_of(id_)
    ours = Counter((job.kind, job.key) for job in jobs if not job.key.startswith("again:"))
    told = {("notify", f"seq:{number}") for number in range(1, of.sequence + 1)}
    assert ours == Counter({("create", ""), ("track", ""), *told}), "not exactly one job of each kind and key"
    running = Counter(job.kind for job in jobs if job.state == "running")
    assert max(running.values(), default=0) <= 1, "two runs of one kind"
    waiting = [job for job in jobs if job.kind == "notify" and job.state == "waiting"]
    current = [job for job in waiting if job.key == f"seq:{of.sequence}" or job.key.startswith("again:")]
    assert len(current) <= 2, "too many notifications wait"
    became_final = of.final and id_ in before.transactions and before.transactions[id_].status == "pending"
    for job in before.jobs_of(id_):
        after = now.jobs[job.id]
        assert after.state in MOVES[job.state], f"{job.kind}: {job.state} -> {after.state}"
        assert after.claim_count >= job.claim_count
        if (job.state, after.state) == ("failed", "cancelled"):
            news = int(job.key.partition(":")[2]) if job.key.startswith("seq:") else 1
            assert job.kind == "notify" and now.transactions[id_].informed >= news, "cancelled without a notification"
        if became_final and job.state == "waiting":
            assert after.state == "cancelled", f"{job.kind} {job.key} still waits after the final status"
    if not of.final:
        lives = any(job.kind in ("create", "track") and job.state in ("waiting", "running") for job in jobs)
        assert lives or now.transactions[id_].review, "it has no active job and no flag"
