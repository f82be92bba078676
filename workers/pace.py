"""Turns: the calls of a lane with a limit a second are spread evenly, over all workers and processes.

A call takes its turn from PostgreSQL just before it is made, and waits for it; what asks while one batch of turns is
being taken is the next batch. The claim takes no more jobs than will have their turn within some seconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connection

from workers import sql
from workers.coalesce import Coalescer
from workers.outbound import CallFailed, Http, NotSent, Response
from workers.registry import LEASE_MARGIN, Call, Claim, Lane

AHEAD = 2.0
"""Seconds of turns up to which jobs of a lane are claimed: longer than a dispatcher's look, shorter than any lease."""

Turn = tuple[Lane, float]
"""A lane and its calls a second."""


def room(lane: Lane, per_second: float) -> int:
    """How many jobs of a lane a claim may take: those that will have their turn within `AHEAD` seconds."""
    with connection.cursor() as cursor:
        cursor.execute(sql.PACE, {"lane": lane})
        found = cursor.fetchone()
    taken = float(found[0]) if found else 0.0
    return max(0, math.ceil(per_second * (AHEAD - taken)))


class Pacer:
    """Takes turns for the calls of one process. `close` ends its thread."""

    def __init__(self) -> None:
        self._turns: Coalescer[Turn, float] = Coalescer(self._take, name="pace")

    async def turn(self, lane: Lane, per_second: float) -> float:
        """Take the lane's next turn: the seconds until it comes. Raises django.db's errors."""
        return await asyncio.wrap_future(self._turns.submit((lane, per_second)))

    def close(self) -> None:
        self._turns.close(timeout=5)

    def _take(self, asked: list[Turn]) -> list[float]:
        """The coalescer's flush: a statement a lane, for as many turns as were asked for."""
        first: dict[Turn, float] = {}
        try:
            for (lane, per_second), n in Counter(asked).items():
                with connection.cursor() as cursor:
                    cursor.execute(sql.TAKE_TURNS, {"lane": lane, "span": n / per_second})
                    (first[lane, per_second],) = cursor.fetchone()
        except (DatabaseError, InterfaceError):
            connection.close()  # the next batch opens a fresh one
            raise
        given: Counter[Turn] = Counter()
        waits = []
        for turn in asked:
            waits.append(max(0.0, first[turn] + given[turn] / turn[1]))
            given[turn] += 1
        return waits


class Paced(Http):
    """An `Http` for the run of one claimed job, whose calls wait for their lane's turn."""

    def __init__(self, http: Http, pacer: Pacer, claim: Claim, per_second: float) -> None:
        self._http = http
        self._pacer = pacer
        self._claim = claim
        self._per_second = per_second

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        within: float,
        hidden: Collection[str] = (),
    ) -> Response:
        """As `Http.call`, in its turn. One whose turn would come too late for its lease is NotSent."""

        def kept_back(why: str) -> NotSent:
            return NotSent(why, Call(method, url.partition("?")[0], datetime.now(UTC), 0, error=why, made=False))

        asked_at = time.perf_counter()
        try:
            wait = await self._pacer.turn(self._claim.lane, self._per_second)
        except (DatabaseError, InterfaceError) as error:
            raise kept_back("no turn could be had: the database is away") from error
        if wait + within > self._claim.time_left() - LEASE_MARGIN:
            raise kept_back(f"its turn would have come in {wait:.1f} s, too late for its lease")
        await asyncio.sleep(wait)
        # As it was, not as planned: taking the turn took its time, too, and timers are late.
        waited_ms = math.ceil((time.perf_counter() - asked_at) * 1000)
        try:
            answer = await self._http.call(method, url, headers=headers, body=body, within=within, hidden=hidden)
        except CallFailed as error:
            error.call = replace(error.call, waited_ms=waited_ms)
            raise
        return replace(answer, call=replace(answer.call, waited_ms=waited_ms))
