"""State of jobs, calls and worker processes, for the dashboard and `/metrics`; each function is one query."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import ExpressionWrapper, F, fields
from django.db.models.functions import Now

from workers import kinds
from workers import statistics_sql as sql
from workers.foundation.database import rows
from workers.foundation.formatting import at_most
from workers.lanes import Lane
from workers.models import WorkerProcess
from workers.own_faults import PREFIX

MOST_IN_A_LANE = 100
"""Upper bound for the count of a lane's due jobs."""
LATEST, WITHIN = 5_000, 300
"""Bounds of the calls that are evaluated: their number, and their age in seconds."""
SILENCE = ExpressionWrapper(Now() - F("beat_at"), fields.DurationField())
"""Time since a worker process last reported, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The jobs of one kind."""

    kind: str
    due: int
    oldest: float
    """Seconds since the first of them was due; 0 if none is."""
    running: int
    failed: int


@dataclass(frozen=True, slots=True)
class Calls:
    """Results of the latest calls of one lane; durations in seconds."""

    count: int
    failed: int
    median: float
    p95: float
    reach: float
    """Seconds since the first of them began."""

    @property
    def share(self) -> float:
        """Share of failed calls, from 0 to 1."""
        return self.failed / self.count


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process: `silence` is the time since it last reported, `clock_skew` its clock's, both in seconds."""

    name: str
    version: str
    in_flight: int
    silence: float
    clock_skew: float

    @property
    def alive(self) -> bool:
        return self.silence < WorkerProcess.SILENT_AFTER


def queues(most: int | None = None) -> list[Queue]:
    """Return a queue for each registered kind of job.

    Due and failed jobs are counted up to `most`; without it the count is exact, and its cost grows with them.
    """
    found = rows(sql.COUNTS, kinds=list(kinds.job_table().kinds), most=most)
    return [
        Queue(kind, at_most(due, most), age, running, at_most(failed, most))
        for kind, due, age, running, failed in found
    ]


def lanes(names: Iterable[Lane], *, within: float = 0.0) -> dict[Lane, tuple[int, int]]:
    """By lane, count the jobs that are due within these seconds, up to `MOST_IN_A_LANE`, and the running ones."""
    every = list(kinds.job_table().kinds)
    found = rows(sql.LANE_COUNTS, lanes=list(names), kinds=every, within=within, most=MOST_IN_A_LANE)
    return {lane: (at_most(due, MOST_IN_A_LANE), running) for lane, due, running in found}


def latest_calls() -> dict[Lane, Calls]:
    """Return the results of the latest calls by lane."""
    return {lane: Calls(*figures) for lane, *figures in rows(sql.LATEST_CALLS, most=LATEST, within=WITHIN, own=PREFIX)}


def processes() -> list[Process]:
    """Return the processes that reported within the last hour, the latest report first."""
    found = WorkerProcess.objects.annotate(silence=SILENCE).order_by("-beat_at")
    return [
        Process(str(one), one.version, one.in_flight, one.silence / timedelta(seconds=1), one.clock_skew)
        for one in found
    ]


def worst_skew(found: Iterable[Process] | None = None) -> float:
    """Return the largest difference of a living worker's wall clock to the database's, in seconds; 0 without any."""
    return max((one.clock_skew for one in found or processes() if one.alive), key=abs, default=0.0)
