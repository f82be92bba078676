"""What the jobs and the workers are doing, in a few queries each of which ends, however many jobs there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, ExpressionWrapper, F, fields
from django.db.models.functions import Now

from workers import registry, sql
from workers.figures import MOST, at_most
from workers.models import Job, JobState, WorkerProcess
from workers.registry import Lane

MOST_IN_A_LANE = 100
"""Jobs of a lane that are counted; of a kind it is `MOST`."""
LATEST, WITHIN = 5_000, 300
"""The calls that are looked at: the newest so many, as far as they began within so many seconds."""
Running = dict[tuple[Lane, str], int]
"""How many jobs run, by lane and kind."""
SILENCE = ExpressionWrapper(Now() - F("beat_at"), fields.DurationField())
"""Of a worker process, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The jobs of one kind."""

    kind: str
    due: int
    oldest: float
    """For so many seconds the first of them has been due; 0: none is."""
    running: int
    failed: int


@dataclass(frozen=True, slots=True)
class Calls:
    """How the latest calls of one lane went."""

    count: int
    failed: int
    median: float
    p95: float
    """Seconds, both."""
    reach: float
    """The first of them began so many seconds ago."""

    @property
    def share(self) -> float:
        """Of them failed, from 0 to 1."""
        return self.failed / self.count


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process, and for how many seconds nothing was heard of it."""

    name: str
    version: str
    in_flight: int
    silence: float

    @property
    def alive(self) -> bool:
        return self.silence < WorkerProcess.SILENT_AFTER


def running() -> Running:
    """It reads what runs, which is no more than the lanes' limits allow."""
    found = Job.objects.filter(state=JobState.RUNNING).order_by().values_list("lane", "kind").annotate(n=Count("*"))
    return {(lane, kind): n for lane, kind, n in found}


def queues(running: Running) -> list[Queue]:
    """One for each kind of job that is registered."""
    due = {kind: (count, oldest) for kind, count, oldest in _rows(sql.DUE, most=MOST)}
    failed: dict[str, int] = dict(_rows(sql.FAILED, most=MOST))
    found = []
    for kind in (kind.name for kind in registry.kinds()):
        count, oldest = due.get(kind, (0, 0.0))
        under_way = sum(n for (_, its_kind), n in running.items() if its_kind == kind)
        found.append(Queue(kind, at_most(count, MOST), max(oldest, 0.0), under_way, at_most(failed.get(kind, 0), MOST)))
    return found


def due_in(lanes: Mapping[Lane, float]) -> dict[Lane, int]:
    """How many jobs of each of these lanes are due within so many seconds, at most `MOST_IN_A_LANE`."""
    kinds = [kind.name for kind in registry.kinds()]
    asked = {"lanes": list(lanes), "within": list(lanes.values())}
    return {
        lane: at_most(n, MOST_IN_A_LANE) for lane, n in _rows(sql.DUE_IN, kinds=kinds, most=MOST_IN_A_LANE, **asked)
    }


def latest_calls() -> dict[Lane, Calls]:
    found = _rows(sql.LATEST_CALLS, most=LATEST, within=WITHIN)
    return {
        lane: Calls(count, failed, median / 1000, p95 / 1000, reach)
        for lane, count, failed, median, p95, reach in found
    }


def processes() -> list[Process]:
    """Those that were heard of within the last hour, the liveliest first."""
    found = WorkerProcess.objects.annotate(silence=SILENCE).order_by("-beat_at")
    return [Process(str(one), one.version, one.in_flight, one.silence / timedelta(seconds=1)) for one in found]


def _rows(statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
