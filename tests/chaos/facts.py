"""Facts that the verify pass compares, read from the database and from the sandbox when the system is quiet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devstack.stack import STATUS_MAP

if TYPE_CHECKING:
    from tests.chaos.faults import Scene
    from tests.chaos.load import Posted

FINAL = frozenset({"completed", "declined", "failed"})

TRANSACTIONS = """
SELECT id::text, client_ref, status, sequence, review, notified_sequence, failure_detail FROM transactions_transaction
"""
EVENTS = "SELECT transaction_id::text, kind, status, sequence, source FROM transactions_event ORDER BY id"
JOBS = """
SELECT j.transaction_id::text, j.kind, j.state, j.key, j.lane, j.claim_count, j.tries, j.last_error,
       extract(epoch FROM j.run_at - clock_timestamp())::double precision, t.status <> 'pending'
FROM workers_job j JOIN transactions_transaction t ON t.id = j.transaction_id
WHERE j.state IN ('waiting', 'running', 'failed')
"""
LOST = """
-- Claim time and lease end of the runs that were lost with their worker.
SELECT a.transaction_id::text, extract(epoch FROM a.started_at)::double precision, j.kind
FROM workers_outboundcall a JOIN workers_job j ON j.id = a.job_id
WHERE a.method = '' AND a.error LIKE 'the worker was lost%%'
"""
RENEWED, NOTICED = 30.0, 5.0
"""Seconds after a kill in which its leases may be outstanding, and after a jump in which workers have renewed them."""
WEBHOOKS = "SELECT transaction_id::text, word, 1 + repeats FROM webhooks_webhook"


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    status: str
    sequence: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Job:
    transaction_id: str
    kind: str
    state: str
    key: str
    lane: str
    attempt: int
    tries: int
    last_error: str
    due_in: float
    """Seconds."""
    final: bool
    """True if the transaction of the job is final."""

    @property
    def has_work(self) -> bool:
        """Return True if the job still has to do something.

        A poll that was running when another source brought the final status keeps its next turn, and then does nothing.
        """
        return self.state == "running" or (self.state == "waiting" and not self._is_idle)

    @property
    def _is_idle(self) -> bool:
        return self.kind != "notify" and self.final and self.due_in > 0


@dataclass(frozen=True, slots=True)
class Row:
    """Transaction as stored in the database."""

    id: str
    ref: str
    status: str
    sequence: int
    review: str
    notified_sequence: int
    failure_detail: str = ""
    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    recorded: dict[str, int] = field(default_factory=dict)
    """Number of received webhooks by the status in them, as our word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts of a run. Times are Unix seconds."""

    posted: Mapping[str, Posted]
    """Keyed by the client's id, like `rows` and `client`."""
    rows: Mapping[str, Row]
    provider: Mapping[str, dict[str, Any]]
    """Keyed by our id."""
    client: Mapping[str, dict[str, Any]]
    duplicate_creates: int
    bad_signatures: int
    lost_leases: Iterable[tuple[str, float, float]] = ()
    """Our id, and the start and the end of a lease whose worker was lost, by PostgreSQL's clock."""
    kills: Iterable[float] = ()
    """Times of events that can make leases expire."""
    lease_kills: Iterable[float] = ()
    """The same times by PostgreSQL's clock, for `lost_leases`."""
    forged: Iterable[str] = ()
    """Our ids of transactions that a webhook of the driver contradicted."""
    lost: Collection[str] = ()
    """The clients' ids of transactions that the database lost once."""
    complaints: Iterable[str] = ()

    def theirs(self, row: Row) -> dict[str, Any]:
        """Return the provider's record of a transaction; empty if it has none."""
        return self.provider.get(row.id, {})

    def told(self, row: Row) -> dict[str, Any]:
        """Return the notifications that the client received about a transaction."""
        return self.client.get(row.ref, {"notifications": [], "final": None})


def read_facts(scene: Scene, posted: Mapping[str, Posted]) -> Facts:
    """Read all facts. The database and the sandbox must be up."""
    state = scene.stack.sandbox_state()
    return Facts(
        posted=posted,
        rows=read_rows(scene),
        provider=state["provider"]["transactions"],
        client=state["client"]["transactions"],
        duplicate_creates=state["provider"]["duplicate_creates"],
        bad_signatures=state["client"]["bad_signatures"],
        lost_leases=[(id_, until - lease(scene, kind), until) for id_, until, kind in scene.execute(LOST)],
        kills=scene.kills,
        lease_kills=lease_kills(scene),
        forged=scene.forged,
        lost=scene.lost,
        complaints=scene.complaints,
    )


def lease_kills(scene: Scene) -> list[float]:
    """Return the kills by PostgreSQL's clock. A jump of it renews leases, so an earlier kill also counts after it."""
    found = [kill + scene.lead(kill) for kill in scene.kills]
    for jumped, lead in scene.jumps:
        if any(jumped - RENEWED < kill < jumped for kill in scene.kills):
            found.append(jumped + lead + NOTICED)
    return found


def lease(scene: Scene, kind: str) -> float:
    """Return the lease of a job of this kind, in seconds."""
    return float(scene.stack.environment[f"{kind.upper()}_LEASE"])


def read_rows(scene: Scene) -> dict[str, Row]:
    """Return the transactions by the client's id, with their timelines and unfinished jobs."""
    by_id = {row[0]: Row(*row) for row in scene.execute(TRANSACTIONS)}
    for id_, *event in scene.execute(EVENTS):
        by_id[id_].events.append(Event(*event))
    for job in read_jobs(scene):
        by_id[job.transaction_id].jobs.append(job)
    for id_, word, times in scene.execute(WEBHOOKS):
        if id_ in by_id:
            recorded = by_id[id_].recorded
            status = STATUS_MAP.get(word, word)
            recorded[status] = recorded.get(status, 0) + times
    return {row.ref: row for row in by_id.values()}


def read_jobs(scene: Scene) -> list[Job]:
    """Return the jobs that are waiting, running or failed."""
    return [Job(*row) for row in scene.execute(JOBS)]
