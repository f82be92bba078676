"""The job vocabulary: what an app says of its kinds of jobs, and what a handler says of its work.

`workers` runs jobs without knowing what they do. An app registers each kind in its `AppConfig.ready()`; a handler
gets a frozen snapshot, makes network calls, and returns an `Outcome`. It never touches the database, so it is
tested without one and runs the same in a Dramatiq worker, in AWS Lambda or from `manage.py runjob`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

LEASE_MARGIN = 3.0
"""Seconds before the lease's end at which a run is cut off, so that its settle still counts."""

Lane = str
"""What shares a limit and a fate: a provider (`p7`) or a client's endpoint (`c12`). Jobs of one lane wait for each
other's limits; jobs of different lanes never do."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a lane's jobs may do, over all workers. The default stops the lane."""

    in_flight: int = 0
    """How many of them may run at once; 0: none."""
    per_second: float | None = None
    """Rate limit: how many calls may begin in a second; None: any number."""
    breaker: bool = False
    """Whether runs that fail open its circuit breaker (see `workers.breaker`)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours until its lease ends."""

    id: int
    transaction_id: UUID
    kind: str
    key: str
    lane: Lane
    attempt: int
    """Counts claims; also the fencing token: a settle with another number than the row's changes nothing."""
    step: int
    """The handler's own counter over the runs of a job (unknown creates, polls, deliveries tried)."""
    crashes: int
    """How many runs in a row have ended without a result."""
    lost_at: datetime | None
    """UTC. The run before this one never settled: until then its calls may have begun. None: it settled."""
    claimed_at: datetime
    lease_until: datetime
    probe: bool = False
    """The lane's circuit breaker is open, and this run tries whether the other side is back."""
    limit: Limit = Limit()
    start_in: float = 0.0
    """Seconds from the claim until the run may start: its first call's token in a lane with a rate limit."""
    received: float = field(default_factory=time.monotonic, compare=False)
    lag: float = field(default=0.0, compare=False)
    """Seconds that the claim took: by so much `now` may be behind."""

    def now(self) -> datetime:
        """UTC by the database's clock, from the claim on: the one clock that times of all hosts are compared by."""
        return self.claimed_at + timedelta(seconds=time.monotonic() - self.received)

    def time_left(self) -> float:
        """Seconds until the lease ends."""
        return (self.lease_until - self.now()).total_seconds() - self.lag


@dataclass(frozen=True, slots=True)
class Call:
    """One outbound call, as operators see it. Never a secret, never a whole body."""

    method: str
    url: str
    started_at: datetime
    duration_ms: int
    http_status: int | None = None
    error: str = ""
    excerpt: str = ""
    connect_ms: int = 0
    """From its start until there was a connection: nothing was sent before that."""
    asked_to_wait: float = 0.0
    """Seconds, by the Retry-After of a 429."""
    made: bool = True
    """False: it was kept back by us, and says nothing of the other side."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Again:
    """Run again `after` seconds; `step` replaces the job's step where it is given."""

    after: float
    step: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Given up, for a person to look at; `reason` is a sentence for operators."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run learnt (`news`, in the words of the kind's app) and what comes next."""

    next: Done | Again | Failed
    news: Any = None
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Wake:
    """A lane has a job that is due `after` seconds; `kind` says which queue's workers take it."""

    kind: str
    lane: Lane
    after: float = 0.0


Handler = Callable[[Any, Any], Awaitable[Outcome]]
"""Gets the snapshot that its kind's `load` made, and a `workers.outbound.Http` to call with."""
Settled = tuple[Claim, Outcome]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job.

    `load` reads the snapshots of claimed jobs in few queries (a job without one is settled as done);
    `record` writes what was learnt, inside the settling transaction, and returns the lanes it gave work to; `after`
    does the same once the jobs' own new states are written, for what depends on them;
    `lease` is the seconds a claim holds, longer than the handler's longest run;
    `calls` is how many calls a run makes, as a rule at most: its tokens in a lane with a rate limit.
    """

    name: str
    queue: str
    lease: float
    load: Callable[[Sequence[Claim]], Mapping[int, Any]]
    handle: Handler
    record: Callable[[Sequence[Settled]], Sequence[Wake]]
    after: Callable[[Sequence[Settled]], Sequence[Wake]] = lambda settled: ()
    calls: int = 1


Chore = Callable[[], bool]
"""One short step (at most a second) of a periodic task. It returns whether there is more to do at once, commits before
it returns, and ensures that no two processes do the same step."""

_kinds: dict[str, Kind] = {}
_chores: dict[str, Chore] = {}
_locks: list[Callable[[Collection[UUID]], None]] = []
_limits: dict[str, Callable[[Lane], Limit]] = {}


def register(kind: Kind) -> None:
    _kinds[kind.name] = kind


def register_chore(name: str, step: Chore) -> None:
    """Register a periodic task: worker processes run `step` again and again (see `workers.periodic`)."""
    _chores[name] = step


def register_limit(prefix: str, limit: Callable[[Lane], Limit]) -> None:
    """`limit` says of a lane that starts with `prefix` what its jobs may do."""
    _limits[prefix] = limit


def register_lock(lock: Callable[[Collection[UUID]], None]) -> None:
    """`lock` locks the rows of transactions in an order that is the same for all, so that two settles that write to
    the same ones never wait for each other."""
    _locks.append(lock)


def lock(ids: Collection[UUID]) -> None:
    """Lock these transactions' rows until the current database transaction ends."""
    for one in _locks:
        one(ids)


def kind(name: str) -> Kind:
    return _kinds[name]


def kinds() -> list[Kind]:
    return list(_kinds.values())


def chores() -> dict[str, Chore]:
    return dict(_chores)


def lane_limit(lane: Lane) -> Limit:
    """What this lane's jobs may do; a lane that nobody has registered is stopped."""
    return next((limit(lane) for prefix, limit in _limits.items() if lane.startswith(prefix)), Limit())


def backoff(attempt: int, *, base: float, cap: float) -> float:
    """Seconds before try `attempt` + 1 (from 1): doubling from `base` up to `cap`, with ±20 % jitter so that what
    failed together does not come back together."""
    return min(cap, base * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.8, 1.2)  # noqa: S311  no secret
