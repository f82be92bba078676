"""Claiming, settling and recovering jobs: the engine's and the standalone runner's one door to the tables."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection, transaction

from workers import breaker, pace, registry, sql
from workers.models import Job, JobState
from workers.outbound import Http
from workers.pace import Paced, Pacer
from workers.registry import Again, Claim, Done, Failed, Lane, Limit, Outcome, Settled, Wake

log = structlog.get_logger(__name__)

RECOVERED_AT_ONCE = 500
"""Expired leases that one statement returns."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Not a handler's word: the run ended without a result, so what it had begun may still take effect.

    Handed back by a stopping worker (nobody's fault), or crashed: its handler raised. The job runs again `after`
    seconds; one that crashes MAX_CRASHES times in a row is given up. `begun`: its handler had been started.
    """

    why: str
    after: float = 0.0
    crashed: bool = False
    begun: bool = True


Result = Outcome | Lost
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LaneClaim:
    """What a claim found in one lane."""

    lane: Lane
    claims: tuple[Claim, ...]
    room: int
    """How many it could have taken: fewer than asked means that the lane is at its limit."""
    next_in: float | None
    """Seconds until the lane's next job that is not due yet."""


def claim_lanes(want: Mapping[Lane, int], kinds: Collection[registry.Kind]) -> list[LaneClaim]:
    """Claim up to `want[lane]` due jobs of each lane, of these kinds, within the lane's limit over all workers.

    A lane that is stopped is not asked, and not in the answer: its limit is 0, its turns are taken for some seconds, or
    breakers hold back all its kinds and no probe is due.
    """
    limits = {lane: limit for lane in want if (limit := _limit(lane)).in_flight > 0}
    asked: list[_Asked] = []
    for lane, limit in limits.items():
        n = want[lane] if limit.per_second is None else min(want[lane], pace.room(lane, limit.per_second))
        if n == 0:
            continue
        held_back = breaker.held_back() if limit.breaker else frozenset()
        for kind in kinds:
            if (lane, kind.name) not in held_back:
                asked.append(_Asked(lane, kind, n, limit))
            elif breaker.take_probe(lane, kind.name):
                asked.append(_Asked(lane, kind, 1, limit, probe=True))
    return _claim(asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a claim asks of one lane and kind."""

    lane: Lane
    kind: registry.Kind
    n: int
    limit: Limit
    probe: bool = False


def _claim(asked: Sequence[_Asked]) -> list[LaneClaim]:
    if not asked:
        return []
    limits = {one.lane: one.limit for one in asked}
    want = [
        {
            "lane": one.lane,
            "kind": one.kind.name,
            "lease": one.kind.lease,
            "n": one.n,
            "in_flight": one.limit.in_flight,
            "probe": one.probe,
        }
        for one in asked
    ]
    probes = {(one.lane, one.kind.name) for one in asked if one.probe}
    asked_at = time.monotonic()
    with connection.cursor() as cursor:
        # One string, one round trip, one implicit transaction; each statement has a snapshot of its own, so that the
        # claim sees what the holder of the lock before us has committed.
        cursor.execute(sql.LOCK_LANES + ";" + sql.CLAIM, {"lanes": list(limits), "want": json.dumps(want)})
        rows = cursor.fetchall()
    lag = time.monotonic() - asked_at
    claims: dict[Lane, list[Claim]] = defaultdict(list)
    lanes: dict[Lane, tuple[int, float | None]] = {}
    for room, next_in, *job in rows:
        claim = replace(Claim(*job), probe=(job[4], job[2]) in probes, limit=limits[job[4]], lag=lag)
        lanes[claim.lane] = (room, next_in)
        if claim.id is not None:
            claims[claim.lane].append(claim)
    return [LaneClaim(lane, tuple(claims[lane]), room, next_in) for lane, (room, next_in) in lanes.items()]


def _limit(lane: Lane) -> Limit:
    """The lane's limit; it is stopped where that cannot be told (a secret that no key opens, say), and no other is."""
    try:
        return registry.lane_limit(lane)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("A lane is stopped: its limit cannot be told", action="lane_stopped", lane=lane)
        return Limit()


def claim_one(job: Job) -> Claim | None:
    """Claim this job whatever its time; None when it is not waiting or a sibling of it is running.

    Its calls keep to the lane's pace and count for its breaker, but neither a full lane nor an open breaker stops it.
    """
    try:
        with connection.cursor() as cursor:
            given: dict[str, Any] = {"lanes": [job.lane], "id": job.pk, "lease": registry.kind(job.kind).lease}
            cursor.execute(sql.LOCK_LANES + ";" + sql.CLAIM_ONE, given)
            row = cursor.fetchone()
    except IntegrityError:  # a sibling was claimed at the same moment
        return None
    return replace(Claim(*row), limit=_limit(job.lane)) if row else None


def load(claims: Sequence[Claim]) -> dict[int, Any]:
    """The handlers' snapshots by job id. A job that has none any more is not in it.

    Where a snapshot cannot be made (a secret that no key opens, say), the error stands in its place: that job alone
    crashes. Raises django.db's errors when the database is away.
    """
    try:
        found: dict[int, Any] = {}
        for kind, mine in _by_kind((claim.kind, claim) for claim in claims).items():
            found.update(registry.kind(kind).load(mine))
        return found
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:
        if len(claims) == 1:
            log.exception("A job could not be loaded", action="load_failed", job={"id": claims[0].id})
            return {claims[0].id: error}
        return {job: work for claim in claims for job, work in load([claim]).items()}


async def run(claim: Claim, work: Any, http: Http, pacer: Pacer) -> Result:
    """Run a claimed job's handler on its snapshot, within its lease, at its lane's pace; what it raises is a crash."""
    if work is None:
        return Outcome(Done())
    if claim.limit.per_second is not None:
        http = Paced(http, pacer, claim, claim.limit.per_second)
    try:
        if isinstance(work, Exception):
            raise work
        async with asyncio.timeout(max(0.0, claim.time_left() - registry.LEASE_MARGIN)):
            return await registry.kind(claim.kind).handle(work, http)
    except Exception as error:
        log.exception("A run crashed", action="run_crashed", job={"id": claim.id, "kind": claim.kind})
        return crash(claim, error, begun=not isinstance(work, Exception))


def crash(claim: Claim, error: BaseException, *, begun: bool) -> Result:
    """What becomes of a run that raised: again, later each time, and given up after MAX_CRASHES."""
    why = f"its run raised {type(error).__name__}"
    if claim.crashes + 1 >= settings.MAX_CRASHES:
        return Outcome(Failed(f"{why}, {claim.crashes + 1} times in a row"))
    after = registry.backoff(claim.crashes + 1, base=1.0, cap=60.0)
    return Lost(why, after=after, crashed=True, begun=begun)


def settle(results: Sequence[tuple[Claim, Result]]) -> list[Wake]:
    """Write what runs learnt and what comes next, in one transaction; returns the lanes that have work now.

    A job that lost its lease leaves only its calls. When the database refuses the batch for what one outcome holds,
    each is settled alone and the refused one fails with the reason. Raises django.db's errors when the
    database is away: nothing is settled then, try again.
    """
    try:
        return _settle(results)
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError | IntegrityError):
            raise  # the database is away, or not as it should be: that is no outcome's fault
        if len(results) > 1:
            return [wake for result in results for wake in settle([result])]
        [(claim, result)] = results
        log.exception("A job's outcome could not be stored", action="settle_refused", job={"id": claim.id})
        failed = Outcome(Failed(f"its outcome could not be stored: {type(error).__name__}"))
        try:
            return _settle([(claim, replace(failed, calls=result.calls if isinstance(result, Outcome) else ()))])
        except (DataError, IntegrityError, ValueError):  # it is the calls that cannot be stored
            pass
        try:
            return _settle([(claim, failed)])
        except (DataError, IntegrityError):  # nor can its end (its rows are gone, say): the others must not wait for it
            log.exception("A job could not be ended", action="settle_refused", job={"id": claim.id})
            return []


def _settle(results: Sequence[tuple[Claim, Result]]) -> list[Wake]:
    wakes: list[Wake] = []
    mine = [{"id": claim.id, "attempt": claim.attempt} for claim, _ in results]
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        registry.lock({claim.transaction_id for claim, _ in results})  # transactions first, then jobs: as webhooks do
        cursor.execute(sql.OWNED, {"jobs": json.dumps(mine)})
        owned = set(cursor.fetchall())  # with the attempt: a batch may hold an earlier run of the same job, too
        news: list[Settled] = []
        outcomes: list[dict[str, Any]] = []
        attempts: list[dict[str, Any]] = []
        for claim, outcome in results:
            if isinstance(outcome, Outcome):
                attempts += _attempts(claim, outcome)
            if (claim.id, claim.attempt) not in owned:
                log.warning("A run ended after its lease", action="lease_lost", job={"id": claim.id})
                continue
            outcomes.append(_next_state(claim, outcome))
            if isinstance(outcome, Outcome):
                news.append((claim, outcome))
        by_kind = _by_kind((settled[0].kind, settled) for settled in news)
        for kind, settled in by_kind.items():
            wakes += registry.kind(kind).record(settled)
        if outcomes:
            cursor.execute(sql.SETTLE, {"outcomes": json.dumps(outcomes)})
            wakes += [Wake(kind, lane) for kind, lane in cursor.fetchall()]
        for kind, settled in by_kind.items():
            wakes += registry.kind(kind).after(settled)
        if attempts:
            cursor.execute(sql.ADD_ATTEMPTS, {"attempts": json.dumps(attempts, default=str)})
    for claim, outcome in results:
        if isinstance(outcome, Outcome) and isinstance(outcome.next, Again) and (claim.id, claim.attempt) in owned:
            wakes.append(Wake(claim.kind, claim.lane, outcome.next.after))
    return wakes


def recover() -> list[Lane]:
    """Return expired leases to waiting; give up jobs that lost their worker too often. Returns the lanes to wake."""
    lost: list[tuple[int, str, Lane, int]] = []
    with connection.cursor() as cursor:
        while len(lost) % RECOVERED_AT_ONCE == 0:
            cursor.execute(sql.RECOVER, {"max_crashes": settings.MAX_CRASHES, "most": RECOVERED_AT_ONCE})
            if not (found := cursor.fetchall()):
                break
            lost += found
    for job, kind, _, crashes in lost:
        log.warning("A job's worker was lost", action="lease_expired", job={"id": job, "kind": kind})
        if crashes >= settings.MAX_CRASHES:
            give_up(job, f"its worker was lost {crashes} times in a row while it ran")
    return [lane for _, _, lane, _ in lost]


def give_up(job_id: int, reason: str) -> None:
    """End a waiting job in `failed`, telling its app so; a job that another has claimed meanwhile is left alone."""
    claim = claim_one(Job.objects.get(pk=job_id))
    if claim is not None:
        settle([(claim, Outcome(Failed(reason)))])


def due_lanes(ahead: float) -> list[tuple[Lane, float]]:
    """Lanes with a job due within `ahead` seconds, and in how many seconds (0: it is overdue)."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DUE_LANES, {"ahead": ahead})
        return list(cursor.fetchall())


def _next_state(claim: Claim, outcome: Result) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": claim.id,
        "state": JobState.DONE,
        "error": "",
        "lost": False,
        "begun": True,
        "crashed": False,
    }
    if isinstance(outcome, Lost):
        again = {"state": JobState.WAITING, "after": outcome.after, "error": outcome.why}
        return row | again | {"lost": True, "begun": outcome.begun, "crashed": outcome.crashed}
    match outcome.next:
        case Done():
            return row
        case Again(after, step, why):
            return row | {"state": JobState.WAITING, "after": max(0.0, after), "step": step, "error": why}
        case Failed(reason):
            return row | {"state": JobState.FAILED, "error": reason}


def _attempts(claim: Claim, outcome: Outcome) -> list[dict[str, Any]]:
    of = {"job_id": claim.id, "transaction_id": str(claim.transaction_id), "number": claim.attempt}
    return [of | asdict(call) for call in outcome.calls]


def _by_kind(items: Iterable[tuple[str, Item]]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for kind, item in items:
        found[kind].append(item)
    return found
