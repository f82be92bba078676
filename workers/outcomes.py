"""Claims and outcomes: a handler's input and result."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from workers import clock
from workers.clock import Reading
from workers.lanes import STOPPED, Lane, Limit


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker owns until its lease ends."""

    id: int
    transaction_id: UUID
    kind: str
    key: str
    lane: Lane
    token: UUID
    """The fencing token: a settle whose token differs from the row's changes nothing."""
    claim_count: int
    tries: int
    """The handler's own counter over the runs of a job: unknown creates, polls, deliveries."""
    crashes: int
    """Runs in a row that ended without a result."""
    lost_at: datetime | None
    """UTC. The previous run never settled and may have made calls until then; None if it settled."""
    claimed_at: datetime
    lease_until: datetime
    retry: bool = False
    """True if the job's last run ended with an error."""
    probe: bool = False
    """True if the lane's circuit breaker is open and this run tests whether the other side has recovered."""
    limit: Limit = STOPPED
    start_in: float = 0.0
    """Seconds from the claim until the run may start: its first call's token under the lane's rate limit."""
    received: float = field(default_factory=lambda: clock.elapsed(), compare=False)
    lag: float = field(default=0.0, compare=False)
    """Duration of the claim statement in seconds; `now` may be late by that much."""

    def now(self) -> datetime:
        """Return the time in UTC by the database's clock at the claim: a later jump of it changes nothing."""
        return self.claimed_at + timedelta(seconds=clock.elapsed() - self.received)

    @property
    def reading(self) -> Reading:
        """The claim as a reading of the database's clock."""
        return Reading(self.claimed_at, self.received - self.lag, self.received)

    def time_left(self) -> float:
        """Return the seconds until the lease ends."""
        return (self.lease_until - self.now()).total_seconds() - self.lag


@dataclass(frozen=True, slots=True)
class Call:
    """One outbound call as operators see it. It holds no secret and no whole body."""

    method: str
    url: str
    started_at: datetime
    duration_ms: int
    http_status: int | None = None
    error: str = ""
    excerpt: str = ""
    connect_ms: int = 0
    """Time from the start to the connection: nothing was sent before that."""
    retry_after: float = 0.0
    """Retry-After of a 429 in seconds."""
    made: bool = True
    """False if the service itself refused the call or reached a limit of its host: it proves nothing about the other
    side, and uses up no try."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Again:
    """Run again in `after` seconds; `tries`, where given, replaces the job's counter."""

    after: float
    tries: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Give up; `reason` is a sentence for operators, who can retry the job."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run, its further effects, and the next step of the job."""

    next: Done | Again | Failed
    result: Any = None
    """Facts, in a type of the app that owns the kind."""
    commands: tuple[Any, ...] = ()
    """Further effects, in types of that app."""
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class NoResult:
    """A run that ended without an outcome; the calls that it had begun may still take effect.

    The worker stopped and handed the job back, or the handler raised (`crashed`). The job runs again in `after`
    seconds; after MAX_CRASHES crashes in a row it is given up. `begun`: the handler had started.
    """

    why: str
    after: float = 0.0
    crashed: bool = False
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Wake:
    """A lane has a job of this kind that is due in `after` seconds."""

    kind: str
    lane: Lane
    after: float = 0.0


Settled = tuple[Claim, Outcome]


def backoff(attempt: int, *, base: float, cap: float) -> float:
    """Return the seconds to wait after failed attempt number `attempt` (from 1).

    `base` doubles with each attempt up to `cap`. A jitter of ±20 % spreads jobs that failed together.
    """
    return min(cap, base * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.8, 1.2)  # noqa: S311  no secret
