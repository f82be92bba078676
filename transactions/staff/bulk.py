"""Bulk runs: one action on many rows, in the background, once for each row whatever dies meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from transactions import finding
from transactions.models import BulkRun
from transactions.models.bulk import OPEN, BulkState
from transactions.staff.actions import ACTIONS, Action

log = structlog.get_logger(__name__)

BATCH = 50
"""Rows of one step at the most."""
STEP = 0.7
"""Seconds after which a step begins no other row."""
LEASE = timedelta(seconds=30)
"""A step is over long before; after a crash another worker goes on after that."""
EXAMPLES, MOST_RESULTS = 5, 20
MOST_COUNTED = 1_000_000
"""Rows; of more the page says only how many were tried."""
OTHER = "for other reasons"


class Overtaken(Exception):
    """Another worker has gone on with this run meanwhile. What this one was about to do to a row is taken back."""


def start(
    *, action: str, by: User, reason: str, token: UUID, params: Mapping[str, str], chosen: Sequence[Any] | None = None
) -> BulkRun:
    """Have an action done to the chosen rows of a list, or to all that these parameters mean; returns the run.

    The same token again gives the run that there is. Raises ValueError without a reason that must be, UnknownFilter.
    """
    does = ACTIONS[action]
    if not does.bulk or (does.reason and not reason.strip()):
        raise ValueError(f"{action} needs a reason, or is not for many rows")
    finding.rows(does.on, params)
    newest = does.on._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    what = {"action": action, "by": by, "reason": reason.strip(), "params": dict(params), "newest": str(newest or "")}
    with transaction.atomic(durable=True):
        run, made = BulkRun.objects.get_or_create(
            token=token, defaults=what | {"chosen": None if chosen is None else [str(key) for key in chosen]}
        )
        if made:
            _log(by, run, ADDITION, f"Started: {does.label}{f': {run.reason}' if run.reason else ''}")
    return run


def stop(*, pk: int, by: User) -> bool:
    """End a run after the rows that are under way. False when it is over, or was stopped before."""
    with transaction.atomic(durable=True):
        open_ = BulkRun.objects.filter(pk=pk, state__in=(BulkState.WAITING, BulkState.RUNNING))
        stopped = bool(open_.update(state=BulkState.STOPPING))
        if stopped:
            _log(by, BulkRun.objects.get(pk=pk), CHANGE, "Stopped")
    return stopped


def matching(run: BulkRun) -> QuerySet[Any]:
    """The rows that a run is about, as its list was when it was started. Ages are counted from then."""
    on = ACTIONS[run.action].on
    rows = finding.rows(on, run.params, now=run.created_at)
    return rows if run.chosen is None else rows.filter(pk__in=run.chosen)


def step() -> bool:
    """The next rows of the run that has waited longest; whether there was one. A chore of worker processes."""
    if (run := _claim()) is None:
        return False
    try:
        if run.state == BulkState.STOPPING:
            _end(run, BulkState.STOPPED)
        elif why := _why_not(run):
            _end(run, BulkState.FAILED, why)
        else:
            _next_rows(run)
    except Overtaken:
        log.warning("A bulk run was overtaken", action="bulk_overtaken", bulk={"id": run.pk})
    except (OperationalError, InterfaceError):
        raise  # the database is away, or somebody holds a row: it goes on when the lease is over
    except Exception:
        log.exception("A bulk run failed", action="bulk_failed", bulk={"id": run.pk, "position": run.position})
        _end(run, BulkState.FAILED, "an unexpected error, right after the last row: the workers' log has it")
    return True


def _claim() -> BulkRun | None:
    with transaction.atomic():
        due = BulkRun.objects.filter(state__in=OPEN, lease_until__lte=Now()).order_by("lease_until")
        run = due.select_for_update(skip_locked=True, of=("self",)).select_related("by").first()
        if run is not None:
            run.state = BulkState.RUNNING if run.state == BulkState.WAITING else run.state
            BulkRun.objects.filter(pk=run.pk).update(state=run.state, lease_until=Now() + LEASE)
    return run


def _why_not(run: BulkRun) -> str:
    """Why nobody may do this (any more); empty when it may be done."""
    if (action := ACTIONS.get(run.action)) is None:
        return f"this version knows no action {run.action}"
    allowed = run.by.is_active and run.by.is_staff and run.by.has_perm(action.permission)
    return "" if allowed else f"{run.by} may not do this any more"


def _next_rows(run: BulkRun) -> None:
    action, key = ACTIONS[run.action], ACTIONS[run.action].on._meta.pk
    rows = matching(run).filter(pk__lte=run.newest) if run.newest else action.on._default_manager.none()
    if not run.position and (count := rows[: MOST_COUNTED + 1].count()) <= MOST_COUNTED:
        BulkRun.objects.filter(pk=run.pk).update(total=count)
    behind = rows.filter(pk__gt=key.to_python(run.position)) if run.position else rows
    batch = list(behind.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not batch:
        return _end(run, BulkState.DONE)
    until = time.monotonic() + STEP
    for pk in batch:
        _one(run, action, pk)
        if time.monotonic() > until:
            break
    BulkRun.objects.filter(pk=run.pk, position=run.position).update(lease_until=Now())


def _one(run: BulkRun, action: Action, pk: Any) -> None:
    """Do it to one row, and note what became of it: both, or neither, so that after a crash no row is done twice and
    none is counted wrong."""
    reason = f"{run.reason} (bulk run {run.pk})".lstrip()
    if why_not := action.run(pk=pk, by=run.by, reason=reason, along=partial(_note, run, pk, "")):
        _note(run, pk, why_not)


def _note(run: BulkRun, pk: Any, result: str) -> None:
    """Compare-and-set on the position: of two workers that both have the run, one is Overtaken."""
    results, position = {name: dict(found) for name, found in run.results.items()}, run.position
    name = result if result in results or len(results) < MOST_RESULTS else OTHER
    one = results.setdefault(name, {"rows": 0, "first": []})
    one["rows"] += 1
    one["first"] = [*one["first"], str(pk)][:EXAMPLES]
    mine = BulkRun.objects.filter(pk=run.pk, position=position, state__in=(BulkState.RUNNING, BulkState.STOPPING))
    if not mine.update(position=str(pk), results=results, tried=F("tried") + 1):
        raise Overtaken
    run.position, run.results = str(pk), results


def _end(run: BulkRun, state: BulkState, why: str = "") -> None:
    BulkRun.objects.filter(pk=run.pk, state__in=OPEN).update(state=state, why=why, finished_at=Now())
    log.info("A bulk run is over", action="bulk_over", bulk={"id": run.pk, "state": state, "why": why})


def _log(by: User, run: BulkRun, flag: int, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [run], flag, message, single_object=True)
