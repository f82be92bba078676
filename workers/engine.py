"""The engine: claims due jobs, runs their handlers concurrently on one event loop, settles them in batches.

Three threads: the loop (network), claiming and settling (database, each its own connection). It learns of work from
messages (`wake`), from its own settles, and from the dispatcher; whichever comes first, the claim decides.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from workers import jobs, registry
from workers.breaker import Tally
from workers.coalesce import Coalescer
from workers.jobs import LaneClaim, Lost, Result
from workers.outbound import Http
from workers.pace import Pacer
from workers.registry import Claim, Lane, Wake

log = structlog.get_logger(__name__)

BATCH = 250
"""Jobs that one claim takes from one lane: large enough to amortise, small enough to leave some to other workers."""
STARTING = 10.0
"""Seconds for the event loop to start."""
SOON = 2.0
"""Seconds. A wait up to this is a timer here, exact to some 10 ms; a longer one is left to the dispatcher's look."""


class Engine:
    """One a worker process. `start`, then `wake` from any thread; `stop` hands back what is unfinished."""

    def __init__(
        self,
        kinds: Sequence[registry.Kind],
        *,
        tell: Callable[[Sequence[Wake]], None] = lambda wakes: None,
        capacity: int | None = None,
    ) -> None:
        """`tell` hears of lanes whose kinds are not ours; `capacity` is how many jobs run at a time."""
        self._tell = tell
        self._kinds = {kind.name: kind for kind in kinds}
        self._capacity = capacity or settings.WORKER_CAPACITY
        self._loop = asyncio.new_event_loop()
        self._claims: Coalescer[Lane, int] = Coalescer(self._claim, name="claim")
        self._settles: Coalescer[tuple[Claim, Result], None] = Coalescer(self._settle, name="settle")
        self._lock = threading.Lock()
        self._asked: dict[Lane, Future[int]] = {}
        self._timers: dict[Lane, float] = {}
        self._held: set[Lane] = set()  # lanes that had more than they or we had room for
        self._running: Counter[Lane] = Counter()
        self.tally = Tally()
        self._pacer = Pacer()
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
        """How many calls of this in a row the event loop has not answered; asks it again."""
        asked, self._unanswered = self._unanswered, self._unanswered + 1
        self._loop.call_soon_threadsafe(self._answer)
        return asked

    def _answer(self) -> None:
        self._unanswered = 0

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(STARTING):
            raise RuntimeError(f"the event loop did not start within {STARTING:g} s")

    def wake(self, lane: Lane, after: float = 0.0) -> Future[int] | None:
        """Claim from `lane` in `after` seconds. At once: the future of that claim, which counts what it took."""
        if after <= 0:
            return self._ask(lane)
        if after <= SOON and not self._stopping:
            due = time.monotonic() + after
            with self._lock:
                if self._timers.get(lane, due + 1) <= due:
                    return None  # an earlier timer's claim will tell of this one
                self._timers[lane] = due
            self._loop.call_soon_threadsafe(self._loop.call_later, after, self._ring, lane, due)
        return None

    def wake_all(self, wakes: Sequence[Wake]) -> None:
        """Wake our own lanes; other workers are told of what is for their queues."""
        for wake in wakes:
            if wake.kind in self._kinds:
                self.wake(wake.lane, wake.after)
        self._tell([wake for wake in wakes if wake.kind not in self._kinds])

    def stop(self, grace: float) -> None:
        """Claim nothing more, let runs end for `grace` seconds, hand back the rest, settle everything."""
        with self._lock:
            self._stopping = True  # who was before us has submitted, who comes after us will not
        self._claims.close(timeout=5)
        until = time.monotonic() + grace
        while self._tasks and time.monotonic() < until:
            time.sleep(0.02)
        cancelled = asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop)
        with contextlib.suppress(concurrent.futures.TimeoutError):  # a busy loop: settle what has ended all the same
            cancelled.result(timeout=5)
        self._settles.close(timeout=5)
        self._pacer.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    # --- claiming

    def _ask(self, lane: Lane) -> Future[int] | None:
        with self._lock:
            if self._stopping:
                return None
            if lane not in self._asked:
                self._asked[lane] = self._claims.submit(lane)
            return self._asked[lane]

    def _ring(self, lane: Lane, due: float) -> None:
        with self._lock:
            if self._timers.get(lane) == due:
                del self._timers[lane]
        self._ask(lane)

    def _claim(self, lanes: list[Lane]) -> list[int]:
        """The claim coalescer's flush: returns how many each lane gave."""
        with self._lock:
            for lane in lanes:
                self._asked.pop(lane, None)  # what becomes due from now on asks anew
            room = 0 if self._stopping else max(0, self._capacity - self._running.total())
            want = self._shares(lanes[:room], room)
            self._held.update(lane for lane in lanes[:room] if lane not in want)
            if not want:
                self._held.update(lanes)
                return [0] * len(lanes)
        try:
            found = jobs.claim_lanes(want, list(self._kinds.values()))
        except (DatabaseError, InterfaceError):
            connection.close()  # the next claim opens a fresh one
            raise
        claims = [claim for lane in found for claim in lane.claims]
        with self._lock:
            self._running.update(claim.lane for claim in claims)
            full = self._running.total() >= self._capacity
            if full:
                self._held.update(lanes[room:])
        if claims:
            self._prepare(claims)
        if not full:  # some lanes had nothing: the others' turn
            for lane in lanes[room:]:
                self._ask(lane)
        for lane_claim in found:
            self._look_ahead(lane_claim, want[lane_claim.lane])
        counts = {lane.lane: len(lane.claims) for lane in found}
        return [counts.get(lane, 0) for lane in lanes]

    def _shares(self, lanes: Sequence[Lane], room: int) -> dict[Lane, int]:
        """How many each lane may take: never so many that it holds more places than it leaves free.

        So a lane whose other side hangs, with however high a limit, has half of the places, two such lanes a third
        each, and there are always some for the others.
        """
        share = min(BATCH, max(1, room // max(1, len(lanes))))
        shares = {lane: min(share, (room - self._running[lane] + 1) // 2) for lane in lanes}
        return {lane: n for lane, n in shares.items() if n > 0}

    def _prepare(self, claims: list[Claim]) -> None:
        """Load what the handlers need, and launch them; what cannot be loaded now goes back at once."""
        try:
            works = jobs.load(claims)
        except (DatabaseError, InterfaceError) as error:
            log.warning("Claimed jobs go back: they cannot be loaded", action="load_failed", error=str(error))
            connection.close()
            for claim in claims:
                self._settles.submit((claim, Lost("the database was away", after=1.0, begun=False)))
        else:
            self._loop.call_soon_threadsafe(self._launch, claims, works)

    def _look_ahead(self, found: LaneClaim, wanted: int) -> None:
        """Ask again for a lane that may have more due, remember one at its limit, set a timer for what comes soon."""
        if found.room < wanted:
            with self._lock:
                self._held.add(found.lane)
        elif len(found.claims) == wanted:
            self._ask(found.lane)
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
        """Run one job to its settle's submission; whatever happens, it is settled."""
        result: Result = Lost("handed back by a stopping worker", begun=False)
        try:
            if not self._stopping:
                result = Lost("handed back by a stopping worker")
                result = await jobs.run(claim, work, self._http, self._pacer)
        except asyncio.CancelledError as error:
            if not self._stopping:  # something it awaited was cancelled, not we
                result = jobs.crash(claim, error, begun=True)
        self._settles.submit((claim, result))

    async def _cancel_all(self) -> None:
        await asyncio.sleep(0)  # a task that has not begun would be cancelled without settling its job
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- settling

    def _settle(self, results: list[tuple[Claim, Result]]) -> list[None]:
        """The settle coalescer's flush. While the database is away it waits: what we learnt must not be forgotten."""
        for claim, result in results:
            self.tally.note(claim, result)
        try:
            wakes = self._settle_patiently(results)
            if self.tally.pressing:
                wakes += self._write_tally()
        finally:
            with self._lock:
                self._running -= Counter(claim.lane for claim, _ in results)
                held, self._held = self._held, set()
            for lane in held:
                self._ask(lane)
        self.wake_all(wakes)
        return [None] * len(results)

    def _write_tally(self) -> list[Wake]:
        try:
            return self.tally.write()
        except (DatabaseError, InterfaceError) as error:  # what was settled must be told of all the same
            log.warning("A breaker's count is lost", action="tally_failed", error=str(error))
            connection.close()
            return []

    def _settle_patiently(self, results: list[tuple[Claim, Result]]) -> list[Wake]:
        pause, until = 0.1, time.monotonic() + max(kind.lease for kind in self._kinds.values())
        while time.monotonic() < until:
            try:
                return jobs.settle(results)
            except (DatabaseError, InterfaceError) as error:
                log.warning(
                    "Settling failed; trying again", action="settle_failed", error=str(error), jobs=len(results)
                )
                connection.close()
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
        return []  # the leases are over: others have the jobs


running: Engine | None = None
"""This process's engine; None outside of a worker. `workers.lifecycle` sets it."""
