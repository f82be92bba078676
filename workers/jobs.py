"""Claims, runs, settles and recovery of jobs, for the engine and for runs without a worker (`run_job`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection, transaction

from workers import breaker, clock, kinds, own_faults, sql
from workers.announce import announce
from workers.foundation.database import retry_once, rows
from workers.kinds import Kind
from workers.lanes import STOPPED, Lane, Limit
from workers.models import Job, JobState
from workers.outbound import Http
from workers.outcomes import Again, Claim, Done, Failed, NoResult, Outcome, Wake, backoff

log = structlog.get_logger(__name__)

LOOK_AHEAD = 2.0
"""Seconds within which a claimed job must be able to start under its lane's rate limit. More than the dispatcher's
interval, so that no token is lost between two claims."""
RECOVERED_AT_ONCE = 500
"""Limit on expired leases that one statement recovers."""


Result = Outcome | NoResult
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LaneClaim:
    """The jobs claimed from one lane."""

    lane: Lane
    claims: tuple[Claim, ...]
    room: int
    """Number of jobs that its limit in flight allowed; fewer than requested: the lane is full."""
    next_in: float | None
    """Seconds until the lane's next claim: its next job is due, or tokens of its rate limit are free."""
    crowded: bool
    """True if it had more due jobs than the claim could take."""


def claim_lanes(counts: Mapping[Lane, int], of_kinds: Collection[Kind]) -> list[LaneClaim]:
    """Claim up to `counts[lane]` due jobs of each lane, of these kinds, within the lane's limits over all workers.

    The result leaves out stopped lanes: those with a limit of 0, and those where breakers hold back all kinds and no
    probe is due. Raises django.db's errors when the database is away.
    """
    limits = {lane: limit for lane in counts if (limit := _limit(lane)).in_flight > 0}
    requests = [one for lane in limits for one in _requests(lane, counts[lane], of_kinds, limits[lane])]
    # Most lanes have few due jobs: the other statement costs more to plan.
    by_turns = {one["lane"] for one in requests if one["probe"] is not None} | (_crowded & set(limits))
    found = _claim(sql.CLAIM, [one for one in requests if one["lane"] not in by_turns], limits)
    by_turns |= {one.lane for one in found if one.crowded}
    again = _claim(sql.CLAIM_BY_TURNS, [one for one in requests if one["lane"] in by_turns], limits)
    _crowded.difference_update(one.lane for one in again if not one.crowded)
    _crowded.update(one.lane for one in again if one.crowded)
    return [one for one in found if not one.crowded] + again


_crowded: set[Lane] = set()
"""Lanes that had more due jobs at their last claim by this process than it could take."""


def _claim(statement: str, requests: Sequence[dict[str, Any]], limits: Mapping[Lane, Limit]) -> list[LaneClaim]:
    """Claim these lanes and kinds by one of the two statements."""
    if not requests:
        return []
    sent_at = clock.elapsed()
    # One string, one round trip, one implicit transaction; each statement has a snapshot of its own, so that the claim
    # sees what the previous holder of the lock has committed.
    claimed = rows(
        sql.LOCK_LANES + ";" + statement,
        lanes=list({one["lane"] for one in requests}),
        want=json.dumps(requests),
        ahead=LOOK_AHEAD,
    )
    lag = clock.elapsed() - sent_at
    by_kind = {(one["lane"], one["kind"]): one for one in requests}
    return [
        _lane_claim(Lane(lane), of_lane, by_kind, limits[Lane(lane)], lag)
        for lane, of_lane in _grouped((row[7], row) for row in claimed).items()
    ]


def _requests(lane: Lane, n: int, of_kinds: Collection[Kind], limit: Limit) -> Iterator[dict[str, Any]]:
    """Yield a row of CLAIM's parameter `want` for each kind that the lane may run now: a probe if its breaker is open.

    Under a rate limit a run may wait up to LOOK_AHEAD for its tokens, so its lease is that much longer.
    """
    held_back = breaker.held_back() if limit.breaker else frozenset()
    for kind in of_kinds:
        is_open = (lane, kind.name) in held_back
        probe = breaker.take_probe(lane, kind.name) if is_open else None
        if probe is not None or not is_open:
            yield {
                "lane": lane,
                "kind": kind.name,
                "lease": kind.lease + (0.0 if limit.per_second is None else LOOK_AHEAD),
                "n": 1 if is_open else n,
                "in_flight": limit.in_flight,
                "probe": probe,
                "calls": kind.calls,
                "per_second": limit.per_second,
            }


def _lane_claim(
    lane: Lane, found: Sequence[Any], requests: Mapping[tuple[Lane, str], dict[str, Any]], limit: Limit, lag: float
) -> LaneClaim:
    """Build one lane's claims from CLAIM's rows. Under a rate limit they start one after another, evenly spaced."""
    room, next_in, free_in = found[0][:3]
    claims = []
    for claim in (_claim_from(row[3:-1]) for row in found if row[3] is not None):
        request = requests[lane, claim.kind]
        start_in = 0.0
        if limit.per_second is not None:
            start_in, free_in = free_in, free_in + request["calls"] / limit.per_second
            next_in = min(next_in or LOOK_AHEAD, LOOK_AHEAD / 2)
        claims.append(replace(claim, probe=request["probe"] is not None, limit=limit, start_in=start_in, lag=lag))
    return LaneClaim(lane, tuple(claims), room, next_in, crowded=found[0][-1])


def _claim_from(row: Sequence[Any]) -> Claim:
    """Build a claim from the columns of CLAIM; the fifth is the text of the lane."""
    id_, transaction_id, kind, key, lane, *rest = row
    return Claim(id_, transaction_id, kind, key, Lane(lane), *rest)


def _limit(lane: Lane) -> Limit:
    """Return the lane's limit. An error other than the database's (an undecryptable secret) stops this lane only."""
    try:
        return kinds.lane_limit(lane)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("A lane is stopped: its limit could not be read", action="lane_stopped", lane=lane)
        return STOPPED


def claim_one(job: Job) -> Claim | None:
    """Claim this job, due or not; None when it is not waiting or a sibling of it is running.

    Its run counts for the lane's breaker, but neither the lane's limits nor an open breaker stop it.
    """
    lease, sent_at = kinds.kind_of(job.kind).lease, clock.elapsed()
    claimed = rows(sql.LOCK_LANES + ";" + sql.CLAIM_ONE, lanes=[job.lane], id=job.pk, lease=lease)
    lag = clock.elapsed() - sent_at
    return replace(_claim_from(claimed[0]), limit=_limit(Lane(job.lane)), lag=lag) if claimed else None


def take_tokens(job: Job) -> float:
    """Take the tokens for a run of this job from its lane's rate limit; return the seconds until the run may start."""
    per_second = _limit(Lane(job.lane)).per_second
    if per_second is None:
        return 0.0
    span = kinds.kind_of(job.kind).calls / per_second
    [(start_in,)] = rows(sql.LOCK_LANES + ";" + sql.TAKE_TOKENS, lanes=[job.lane], lane=job.lane, span=span)
    return float(start_in)


def load(claims: Sequence[Claim]) -> dict[int, Any]:
    """Return the handlers' snapshots by job id; a job without work left has none.

    An error in making a snapshot (an undecryptable secret, say) takes its place: only that job crashes. Raises
    django.db's errors when the database is away, and ClockJumped, which is one of them.
    """
    try:
        found: dict[int, Any] = {}
        for kind, mine in _grouped((claim.kind, claim) for claim in claims).items():
            found.update(kinds.kind_of(kind).load(mine))
        return found
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:
        if len(claims) == 1:
            log.exception("A job could not be loaded", action="load_failed", job={"id": claims[0].id})
            return {claims[0].id: error}
        return {job: work for claim in claims for job, work in load([claim]).items()}


async def run(claim: Claim, work: Any, http: Http) -> Result:
    """Run a claimed job's handler on its snapshot, within its lease; an exception counts as a crash."""
    if work is None:
        return Outcome(Done())
    try:
        if isinstance(work, Exception):
            raise work
        async with asyncio.timeout(max(0.0, claim.time_left() - kinds.LEASE_MARGIN)):
            return await kinds.kind_of(claim.kind).handle(work, http)
    except Exception as error:
        log.exception("A run crashed", action="run_crashed", job={"id": claim.id, "kind": claim.kind})
        return crash(claim, error, begun=not isinstance(work, Exception))


def crash(claim: Claim, error: BaseException, *, begun: bool) -> Result:
    """Return the result of a run that raised: a retry with growing delay, a failure after MAX_CRASHES in a row.

    A limit of this host is no fault of the job: it runs again soon.
    """
    why = f"its run raised {type(error).__name__}"
    if limit := own_faults.limit_of(error):
        own_faults.report(limit)
        return NoResult(own_faults.PREFIX + why, after=own_faults.pause(), begun=begun)
    if claim.crashes + 1 >= settings.MAX_CRASHES:
        return Outcome(Failed(f"{why}, {claim.crashes + 1} times in a row"))
    after = backoff(claim.crashes + 1, base=1.0, cap=60.0)
    return NoResult(why, after=after, crashed=True, begun=begun)


def settle(results: Sequence[tuple[Claim, Result]]) -> list[Wake]:
    """Write the results of runs and the jobs' next states in one transaction; return the lanes that have work now.

    A job that lost its lease leaves only its calls. When the database refuses the batch because of one outcome, each is
    settled alone and the refused job fails with the reason. Raises django.db's errors when the database is away:
    nothing is settled then, try again.
    """
    try:
        return _settle(results)
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not isinstance(error, DataError | IntegrityError):
            raise  # the database is away or out of order: no outcome caused that
        if len(results) > 1:
            return [wake for result in results for wake in settle([result])]
        return _settle_refused(*results[0], error)


def _settle_refused(claim: Claim, result: Result, error: Exception) -> list[Wake]:
    """Fail the job whose outcome the database refused, without its calls if those cannot be stored either."""
    log.exception("A job's outcome could not be stored", action="settle_refused", job={"id": claim.id})
    failed = Outcome(Failed(f"its outcome could not be stored: {type(error).__name__}"))
    calls = result.calls if isinstance(result, Outcome) else ()
    with contextlib.suppress(DataError, IntegrityError, ValueError):
        return _settle([(claim, replace(failed, calls=calls))])
    try:
        return _settle([(claim, failed)])
    except (DataError, IntegrityError):  # its rows are gone, say: the other jobs must not wait for it
        log.exception("A job could not be ended", action="settle_refused", job={"id": claim.id})
        return []


def _settle(results: Sequence[tuple[Claim, Result]]) -> list[Wake]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # Transactions first, then jobs, as webhooks do.
        kinds.job_table().lock({claim.transaction_id for claim, _ in results})
        owned = _owned(results)
        settled = [(claim, result) for claim, result in owned if isinstance(result, Outcome)]
        by_kind = _grouped((one[0].kind, one) for one in settled)
        wakes = [wake for kind, mine in by_kind.items() for wake in kinds.kind_of(kind).save(mine)]
        if owned:
            states = json.dumps([_next_state(*one) for one in owned])
            wakes += [Wake(kind, lane) for kind, lane in rows(sql.SETTLE, outcomes=states)]
        wakes += [wake for kind, mine in by_kind.items() for wake in kinds.kind_of(kind).after_settle(mine)]
        if calls := [call for claim, result in results for call in _calls(claim, result)]:
            cursor.execute(sql.ADD_CALLS, {"calls": json.dumps(calls, default=str)})
    again = [(claim, outcome.next.after) for claim, outcome in settled if isinstance(outcome.next, Again)]
    return wakes + [Wake(claim.kind, claim.lane, after) for claim, after in again]


def _owned(results: Sequence[tuple[Claim, Result]]) -> list[tuple[Claim, Result]]:
    """Lock the jobs whose lease is still ours; return their results."""
    # With the claim's token: a batch may hold an earlier run of the same job as well.
    ours = set(rows(sql.OWNED, ids=[claim.id for claim, _ in results]))
    for claim, _ in results:
        if (claim.id, claim.token) not in ours:
            log.warning("A run ended after its lease", action="lease_lost", job={"id": claim.id})
    return [(claim, result) for claim, result in results if (claim.id, claim.token) in ours]


def recover() -> list[Lane]:
    """Return jobs with an expired lease to waiting, fail those that lost their worker too often; return their lanes.

    A lease has expired only if this process's own clock agrees: the database's may just have jumped.
    """
    lost: list[tuple[Any, ...]] = []
    given = {"max_crashes": settings.MAX_CRASHES, "most": RECOVERED_AT_ONCE, "latest": clock.database.latest()}
    while found := rows(sql.RECOVER, **given):
        lost += found
        if len(found) < RECOVERED_AT_ONCE:
            break
    for job, kind, _, crashes in lost:
        log.warning("A job's worker was lost", action="lease_expired", job={"id": job, "kind": kind})
        if crashes >= settings.MAX_CRASHES:
            give_up(job, f"its worker was lost {crashes} times in a row while it ran")
    return [lane for _, _, lane, _ in lost]


def give_up(job_id: int, reason: str) -> None:
    """Fail a waiting job through its app's `record`; leave it alone if another worker has claimed it meanwhile."""
    claim = claim_one(Job.objects.get(pk=job_id))
    if claim is not None:
        settle([(claim, Outcome(Failed(reason)))])


def due_lanes(ahead: float) -> list[tuple[Any, ...]]:
    """Return the lanes with a job due within `ahead` seconds, and the seconds until it is due (0: overdue)."""
    return rows(sql.DUE_LANES, ahead=ahead)


def run_job(job_id: int) -> str:
    """Claim, run and settle one job now, without a worker, due or not; return its state afterwards.

    It first waits for its lane's rate limit. A job that is not waiting, or whose sibling runs, is left as it is. Raises
    Job.DoesNotExist.
    """
    job = retry_once(lambda: Job.objects.get(pk=job_id))
    time.sleep(retry_once(lambda: take_tokens(job)))  # before the claim: no lease runs meanwhile
    if claim := retry_once(lambda: claim_one(job)):
        try:
            result = asyncio.run(_run_alone(claim, load([claim]).get(claim.id)))
        except clock.ClockJumped as error:
            result = NoResult(str(error), begun=False)
        announce(retry_once(lambda: settle([(claim, result)])))
        statistics = breaker.BreakerStatistics()
        statistics.note(claim, result)
        announce(statistics.write())
    job.refresh_from_db()
    return job.state


async def _run_alone(claim: Claim, work: Any) -> Result:
    async with Http(settings.OUTBOUND_ALLOWED_HOSTS) as http:
        return await run(claim, work, http)


def _next_state(claim: Claim, result: Result) -> dict[str, Any]:
    """Return the row of SETTLE's parameter `outcomes` for a run."""
    row: dict[str, Any] = {"id": claim.id, "state": JobState.DONE, "error": "", "lost": False, "crashed": False}
    if isinstance(result, NoResult):
        again = {"state": JobState.WAITING, "after": result.after, "error": result.why}
        return row | again | {"lost": True, "begun": result.begun, "crashed": result.crashed}
    match result.next:
        case Done():
            return row
        case Again(after, tries, why):
            return row | {"state": JobState.WAITING, "after": max(0.0, after), "tries": tries, "error": why}
        case Failed(reason):
            return row | {"state": JobState.FAILED, "error": reason}


def _calls(claim: Claim, result: Result) -> list[dict[str, Any]]:
    """Return the rows of ADD_CALLS for a run's calls."""
    of = {"job_id": claim.id, "transaction_id": str(claim.transaction_id), "attempt": claim.claim_count}
    return [of | asdict(call) for call in result.calls] if isinstance(result, Outcome) else []


def _grouped(items: Iterable[tuple[str, Item]]) -> dict[str, list[Item]]:
    """Return the items by their key, in their order."""
    groups: dict[str, list[Item]] = {}
    for key, item in items:
        groups.setdefault(key, []).append(item)
    return groups
