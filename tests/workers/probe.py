"""A kind of job whose handler and limits the test sets. It replaces `track`."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models.functions import Now

from txnproject.jobs import JOBS
from workers import jobs
from workers.kinds import JobTable, Kind
from workers.lanes import Lane, Limit
from workers.models import Job, JobKind
from workers.outcomes import Claim, Done, Outcome, Settled, Wake

LIMIT = Limit(1000)
LANE = Lane("x1")


async def done(work: Claim, http: Any) -> Outcome:
    return Outcome(Done())


class Probe:
    """The kind and its lanes, which start with `x`."""

    def __init__(self) -> None:
        self.handle: Callable[[Claim, Any], Awaitable[Outcome]] = done
        self.record: Callable[[Sequence[Settled]], Sequence[Wake]] = lambda settled: []
        self.rule = LIMIT
        self.limits: dict[Lane, int] = {}  # in flight, where it is another number
        self.begun: list[Claim] = []
        self.recorded: list[Settled] = []
        self.kind = Kind(JobKind.TRACK, 30.0, self._load, self._handle, self._record)

    def limit(self, lane: Lane) -> Limit:
        return replace(self.rule, in_flight=self.limits.get(lane, self.rule.in_flight))

    def claim(self, n: int = 100, lane: Lane = LANE) -> list[Claim]:
        """Claim from one lane."""
        return [claim for found in jobs.claim_lanes({lane: n}, [self.kind]) for claim in found.claims]

    def claim_new(self, **fields: Any) -> Claim:
        """Return a new job, claimed."""
        claimed = jobs.claim_one(new_job(**fields))
        assert claimed is not None
        return claimed

    def _load(self, claims: Sequence[Claim]) -> dict[int, Claim]:
        return {claim.id: claim for claim in claims}

    async def _handle(self, work: Claim, http: Any) -> Outcome:
        self.begun.append(work)
        return await self.handle(work, http)

    def _record(self, settled: Sequence[Settled]) -> Sequence[Wake]:
        self.recorded += settled
        return self.record(settled)


def new_job(*, lane: Lane = LANE, due_in: float = 0.0, of: UUID | None = None, **fields: Any) -> Job:
    """Return a new waiting job that is due in `due_in` seconds."""
    job = Job(transaction_id=of or uuid4(), **({"kind": "track"} | fields), lane=lane)
    job.run_at = Now() + timedelta(seconds=due_in)
    job.save()
    return Job.objects.get(pk=job.pk)


def new_jobs(count: int, *, lane: Lane = LANE, due_in: float = 0.0, **fields: Any) -> None:
    fields = {"kind": "track", "lane": lane, "run_at": Now() + timedelta(seconds=due_in)} | fields
    Job.objects.bulk_create([Job(transaction_id=uuid4(), **fields) for _ in range(count)])


def states(lane: Lane = LANE) -> list[str]:
    return list(Job.objects.filter(lane=lane).order_by("id").values_list("state", flat=True))


TABLE = JobTable({}, {}, lambda ids: None, {})
"""The job table of the tests that use a probe."""


def register(probe: Probe) -> None:
    """Fill `TABLE` with the service's kinds and limits and the probe's."""
    TABLE.kinds.update(JOBS.kinds | {JobKind.TRACK: probe.kind})
    TABLE.limits.update(JOBS.limits | {"x": probe.limit})


class Gate:
    """A handler that waits until `open` is set; it counts the runs that wait in it."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.open = threading.Event()

    async def __call__(self, work: Claim, http: Any) -> Outcome:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            while not self.open.is_set():  # noqa: ASYNC110  it is opened from another thread
                await asyncio.sleep(0.005)
        finally:
            self.inside -= 1
        return Outcome(Done())


def all_done(lane: Lane = LANE) -> bool:
    """Return True if the lane has jobs and all of them are done."""
    return set(states(lane)) == {"done"}
