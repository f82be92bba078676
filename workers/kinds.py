"""Kinds of jobs and the table that holds them.

`workers` knows nothing of the domain of its jobs. `settings.JOB_TABLE` names the project's table (`txnproject.jobs`),
which binds each kind to its Dramatiq actor, its handler and the functions that load and save for it. A handler gets a
frozen snapshot, makes network calls and returns an `Outcome`. It does not touch the database, so it is tested without
one and runs the same in a Dramatiq worker, in AWS Lambda and from `manage.py runjob`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import dramatiq
from django.conf import settings
from django.utils.module_loading import import_string

from workers.lanes import STOPPED, Lane, Limit
from workers.outcomes import Claim, Outcome, Settled, Wake

LEASE_MARGIN = 3.0
"""Seconds before the end of the lease at which a run is cut off, so that its settle still counts."""

Handler = Callable[[Any, Any], Awaitable[Outcome]]
"""Takes the snapshot that its kind's `load` made and a `workers.outbound.Http` for its calls."""

PeriodicTask = Callable[[], bool]
"""Background work of at most a second that is committed when it returns. Returns True if more is left to do at once.
Every worker process calls it, so the task itself ensures that no two processes do the same step."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job."""

    name: str
    lease: float
    """Seconds that a claim holds; longer than the handler's longest run."""
    load: Callable[[Sequence[Claim]], Mapping[int, Any]]
    """Reads the snapshots of claimed jobs by job id, in few queries. A job without a snapshot is settled as done."""
    handle: Handler
    save: Callable[[Sequence[Settled]], Sequence[Wake]]
    """Saves the runs' results inside the settling transaction; returns the lanes that have work now."""
    after_settle: Callable[[Sequence[Settled]], Sequence[Wake]] = lambda settled: ()
    """Called after the jobs' new states are written, for changes that depend on them; otherwise like `save`."""
    calls: int = 1
    """Usual maximum of calls that a run makes: its tokens under a lane's rate limit."""
    actor: dramatiq.Actor[[Mapping[str, float]], None] | None = None
    """Wakes the workers that consume its queue. None: all workers run the kind and find its jobs without messages."""


@dataclass(frozen=True, slots=True)
class JobTable:
    """The project's kinds of jobs, limits of lanes and periodic tasks."""

    kinds: dict[str, Kind]
    limits: dict[str, Callable[[Lane], Limit]]
    """By the owner of the lane (`Lane.owner`)."""
    lock: Callable[[Collection[UUID]], None]
    """Locks the rows of transactions in a fixed order, so that two settles never wait for each other."""
    periodic_tasks: dict[str, PeriodicTask]
    """By their name in the log."""


def job_table() -> JobTable:
    """Return the table that `settings.JOB_TABLE` names."""
    table: JobTable = import_string(settings.JOB_TABLE)
    return table


def kind_of(name: str) -> Kind:
    """Return the kind with this name. Raises KeyError."""
    return job_table().kinds[name]


def all_kinds() -> list[Kind]:
    """Return every kind of the table."""
    return list(job_table().kinds.values())


def lane_limit(lane: Lane) -> Limit:
    """Return the limits of a lane; a lane without a known owner is stopped."""
    limit = job_table().limits.get(lane.owner)
    return limit(lane) if limit else STOPPED
