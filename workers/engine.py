"""The engine: claims due jobs, runs their handlers concurrently on one event loop, settles them in batches.

It has three threads: the event loop (network), claims and settles (database, one connection each). Messages (`wake`),
its own settles and the dispatcher tell it which lanes have work; only the claim decides which jobs it gets.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from math import ceil
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from workers import clock, jobs
from workers.announce import announce
from workers.breaker import BreakerStatistics
from workers.coalesce import Coalescer
from workers.foundation import descriptors
from workers.foundation.database import is_lost
from workers.jobs import LaneClaim, Result
from workers.kinds import Kind
from workers.lanes import Lane
from workers.outbound import Http
from workers.outcomes import Claim, NoResult, Wake

log = structlog.get_logger(__name__)

BATCH = 250
"""Limit on the jobs that one claim takes from one lane: enough to amortise its cost, few enough for other lanes."""
OWNERS_PART = 0.75
"""Part of the capacity that the lanes of one owner (all endpoints, all providers) may hold together. One lane holds no
more places than remain free: if its other side hangs, it holds half of them, two such lanes hold a third each. Many
such lanes would together leave too few places for the lanes of the other owner."""
STARTING = 10.0
"""Timeout in seconds for the start of the event loop."""
SOON = 2.0
"""Longest delay in seconds that is a timer here, exact to some 10 ms; the dispatcher handles longer ones."""
SETTLE_PAUSE, LONGEST_SETTLE_PAUSE = 0.1, 2.0
"""Shortest and longest pause in seconds before a failed settle is retried."""


class Engine:
    """The engine of a worker process. `start` it, then `wake` it from any thread; `stop` hands back unfinished jobs."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self.capacity = min(settings.WORKER_CAPACITY, descriptors.runs_within(descriptors.raise_limit()))
        self._loop = asyncio.new_event_loop()
        self._claims: Coalescer[Lane] = Coalescer(self._claim, name="claim")
        self._settles: Coalescer[tuple[Claim, Result]] = Coalescer(self._settle, name="settle")
        self._lock = threading.Lock()
        self._requested: dict[Lane, Future[int]] = {}  # lanes whose next claim has not begun, and its number of jobs
        self._timers: dict[Lane, float] = {}
        self._held: dict[Lane, None] = {}
        """Lanes with more due jobs than their limit or our capacity allowed, in their order."""
        self._running: Counter[Lane] = Counter()
        self.statistics = BreakerStatistics()
        self._unanswered = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)

    @property
    def in_flight(self) -> int:
        with self._lock:
            return self._running.total()

    def unanswered(self) -> int:
        """Return how many consecutive calls of this the event loop has not answered, and call it again."""
        before, self._unanswered = self._unanswered, self._unanswered + 1
        self._loop.call_soon_threadsafe(setattr, self, "_unanswered", 0)
        return before

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(STARTING):
            raise RuntimeError(f"the event loop did not start within {STARTING:g} s")

    def wake(self, lane: str, after: float = 0.0) -> Future[int] | None:
        """Claim from `lane` in `after` seconds. If that is now, return the future with the number of jobs claimed."""
        lane = Lane(lane)
        if after <= 0:
            return self._request(lane)
        if after <= SOON and not self._stopping:
            due = time.monotonic() + after
            with self._lock:
                if self._timers.get(lane, due + 1) <= due:
                    return None  # the earlier timer's claim finds this job's due time
                self._timers[lane] = due
            self._loop.call_soon_threadsafe(self._loop.call_later, after, self._on_timer, lane, due)
        return None

    def wake_all(self, wakes: Sequence[Wake]) -> None:
        """Claim from the lanes of our kinds; announce the others."""
        for wake in wakes:
            if wake.kind in self._kinds:
                self.wake(wake.lane, wake.after)
        announce(wake for wake in wakes if wake.kind not in self._kinds)

    def stop(self, grace: float) -> None:
        """Stop claiming, give runs `grace` seconds to end, hand back the rest, settle all."""
        with self._lock:
            self._stopping = True  # under the lock: every later `_request` sees it
        self._claims.close(timeout=5)
        until = time.monotonic() + grace
        while self._tasks and time.monotonic() < until:
            time.sleep(0.02)
        cancelled = asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop)
        with contextlib.suppress(concurrent.futures.TimeoutError):  # the loop is busy: settle the runs that have ended
            cancelled.result(timeout=5)
        self._settles.close(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    # --- claiming

    def _request(self, lane: Lane) -> Future[int] | None:
        """Queue the lane for the next claim, unless it is queued already; None once the engine is stopping."""
        with self._lock:
            if self._stopping:
                return None
            if lane not in self._requested:
                self._requested[lane] = Future()
                self._claims.submit(lane)
            return self._requested[lane]

    def _on_timer(self, lane: Lane, due: float) -> None:
        with self._lock:
            if self._timers.get(lane) == due:
                del self._timers[lane]
        self._request(lane)

    def _claim(self, lanes: list[Lane]) -> None:
        """Claim from these lanes and tell their waiting callers how many jobs each gave, or the error."""
        with self._lock:  # a job that becomes due from now on needs another claim
            futures = {lane: self._requested.pop(lane) for lane in lanes}
        try:
            counts = self._claim_from(lanes)
        except BaseException as error:
            if isinstance(error, DatabaseError | InterfaceError):
                connection.close()  # the next claim opens a new one
            for future in futures.values():
                future.set_exception(error)
            raise
        for lane, future in futures.items():
            future.set_result(counts.get(lane, 0))

    def _claim_from(self, lanes: list[Lane]) -> dict[Lane, int]:
        want, later = self._plan(lanes)
        if not want:
            return {}
        found = jobs.claim_lanes(want, list(self._kinds.values()))
        claims = [claim for lane_claim in found for claim in lane_claim.claims]
        with self._lock:
            self._running.update(claim.lane for claim in claims)
            if full := self._running.total() >= self.capacity:
                self._held.update(dict.fromkeys(later))
        if claims:
            self._prepare(claims)
        if not full:  # some lanes gave fewer jobs than their share
            for lane in later:
                self._request(lane)
        for lane_claim in found:
            self._plan_next(lane_claim, want[lane_claim.lane])
        return {lane_claim.lane: len(lane_claim.claims) for lane_claim in found}

    def _plan(self, lanes: list[Lane]) -> tuple[dict[Lane, int], list[Lane]]:
        """Return how many jobs to claim from each lane now, and the lanes to claim from later. Hold the full lanes."""
        with self._lock:
            room = 0 if self._stopping else max(0, self.capacity - self._running.total())
            left = self._left()
            most = {lane: min((room - self._running[lane] + 1) // 2, left[lane.owner]) for lane in lanes}
            unfilled = sorted((lane for lane in lanes if most[lane] > 0), key=self._running.__getitem__)
            self._held.update(dict.fromkeys(lane for lane in lanes if most[lane] <= 0))
        share = min(BATCH, max(1, room // max(1, len(unfilled))))
        want: dict[Lane, int] = {}
        for lane in unfilled[:room]:
            if (n := min(share, most[lane], left[lane.owner])) > 0:
                want[lane] = n
                left[lane.owner] -= n
        return want, [lane for lane in unfilled if lane not in want]

    def _left(self) -> dict[str, int]:
        """Return how many more jobs the lanes of each owner may run."""
        most = ceil(OWNERS_PART * self.capacity)
        running: Counter[str] = Counter()
        for lane, n in self._running.items():
            running[lane.owner] += n
        return defaultdict(lambda: most, {owner: most - n for owner, n in running.items()})

    def _prepare(self, claims: list[Claim]) -> None:
        """Load the handlers' snapshots and launch the runs; hand the jobs back if the database is away."""
        if clock.database.is_new:
            unsafe = [claim for claim in claims if claim.claim_count > 1]
            self._hand_back(unsafe, "the worker does not know the database's clock yet", after=clock.WARM_UP)
            claims = [claim for claim in claims if claim.claim_count == 1]
        try:
            works = jobs.load(claims)
        except (DatabaseError, InterfaceError) as error:
            log.warning("Claimed jobs could not be loaded; handing them back", action="load_failed", error=str(error))
            connection.close()
            self._hand_back(claims, "the database was away or its clock jumped", after=1.0)
        else:
            self._loop.call_soon_threadsafe(self._launch, claims, works)

    def _hand_back(self, claims: Sequence[Claim], why: str, *, after: float) -> None:
        for claim in claims:
            self._settles.submit((claim, NoResult(why, after=after, begun=False)))

    def _plan_next(self, found: LaneClaim, n: int) -> None:
        """After a claim of up to `n` jobs: claim again if there may be more, hold a full lane, set the lane's timer."""
        if found.room < n:
            with self._lock:
                self._held[found.lane] = None
        elif len(found.claims) == n:
            self._request(found.lane)
        if found.next_in is not None and found.next_in <= SOON:
            self.wake(found.lane, max(found.next_in, 0.001))

    # --- running

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._started.set)
        self._http = Http(settings.OUTBOUND_ALLOWED_HOSTS)
        self._loop.run_until_complete(self._http.__aenter__())
        self._loop.run_forever()
        self._loop.run_until_complete(self._http.__aexit__())
        self._loop.close()

    def _launch(self, claims: list[Claim], works: Mapping[int, Any]) -> None:
        for claim in claims:
            task = self._loop.create_task(self._run(claim, works.get(claim.id)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, claim: Claim, work: Any) -> None:
        """Run one job from its start time on and submit its result; every claimed job gets one."""
        result: Result = NoResult("handed back by a stopping worker", begun=False)
        try:
            if claim.start_in:
                await asyncio.sleep(claim.start_in)
            if not self._stopping:
                result = NoResult("handed back by a stopping worker")
                result = await jobs.run(claim, work, self._http)
        except asyncio.CancelledError as error:
            if not self._stopping:  # the handler's own call was cancelled, not the run
                result = jobs.crash(claim, error, begun=True)
        self._settles.submit((claim, result))

    async def _cancel_all(self) -> None:
        await asyncio.sleep(0)  # a task that has not begun would be cancelled without settling its job
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- settling

    def _settle(self, results: list[tuple[Claim, Result]]) -> None:
        """Settle these runs, free their places, wake the lanes that have work now."""
        for claim, result in results:
            self.statistics.note(claim, result)
        try:
            wakes = self._settle_patiently(results)
            if self.statistics.is_due:
                wakes += self._write_statistics()
        finally:
            with self._lock:
                self._running -= Counter(claim.lane for claim, _ in results)
                held, self._held = sorted(self._held, key=self._running.__getitem__), {}
            for lane in held:  # lanes whose runs hang after the others
                self._request(lane)
        self.wake_all(wakes)

    def _write_statistics(self) -> list[Wake]:
        try:
            return self.statistics.write()
        except (DatabaseError, InterfaceError) as error:  # the settled jobs' wakes must go out all the same
            log.warning("A circuit breaker's counts are lost", action="statistics_failed", error=str(error))
            connection.close()
            return []

    def _settle_patiently(self, results: list[tuple[Claim, Result]]) -> list[Wake]:
        """Settle, and retry while the database is away, so that no outcome is lost.

        While no session can write, no worker can take over these jobs either, so the retries continue when the leases
        have ended. Other errors are retried until then, because the settles that follow wait meanwhile.
        """
        pause, until = SETTLE_PAUSE, time.monotonic() + max(kind.lease for kind in self._kinds.values())
        while True:
            try:
                return jobs.settle(results)
            except (DatabaseError, InterfaceError) as error:
                log.warning("Settling failed; retrying", action="settle_failed", error=str(error), jobs=len(results))
                connection.close()
                if not is_lost(error) and time.monotonic() > until:
                    return []  # other workers have the jobs
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_SETTLE_PAUSE)


CLAIM_TIMEOUT = 40
"""Seconds to wait for a claim: longer than the database's statement timeout, whose error is the one to report."""
running: Engine | None = None
"""This process's engine; None outside of a worker. `workers.lifecycle` sets it."""


def wake(lanes: Mapping[str, float]) -> None:
    """Claim from these lanes (lane → seconds until due) and wait for the claims that are due now.

    Raises RuntimeError outside of a worker, and django.db's errors when the database is away.
    """
    if running is None:
        raise RuntimeError("no engine runs in this process: start it by `manage.py rundramatiq`")
    for claim in [running.wake(lane, after) for lane, after in lanes.items()]:  # all, before it waits for the first
        if claim is not None:
            claim.result(CLAIM_TIMEOUT)
