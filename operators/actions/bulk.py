"""Bulk runs: apply one action to many rows in the background, once per row even if a worker dies.

A run is a row of its own rather than a job: jobs belong to a transaction and a lane, and their handlers never touch the
database. One worker process at a time advances a run, by a lease; the compare-and-set on `position` protects the rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from operators import search as finding
from operators.actions.action import Action
from operators.actions.table import ACTIONS
from operators.audit import record
from operators.models import OPEN, BulkRun, BulkState
from workers.foundation.database import is_away

log = structlog.get_logger(__name__)

BATCH = 50
"""Maximum number of rows in a step."""
STEP = 0.7
"""Seconds after which a step starts no further row."""
LEASE = timedelta(seconds=30)
"""Maximum duration of a step. If a worker dies, another one continues after this time."""
EXAMPLES, MOST_RESULTS = 5, 20
MOST_COUNTED = 1_000_000
"""Upper bound for `total`; larger runs show only the number of processed rows."""
OTHER = "for other reasons"


class Overtaken(Exception):
    """The run was stopped, or advanced by another worker; the changes to the current row are rolled back."""


def start(
    *, action: str, by: User, reason: str, token: UUID, params: Mapping[str, str], chosen: Sequence[Any] | None = None
) -> BulkRun:
    """Create a run for the chosen rows of a list, or for all rows that match `params`.

    Return the existing run if the token is already used. Raises ValueError if the action is not available in bulk or a
    required reason is missing, and the errors of `matching`.
    """
    does, reason = ACTIONS[action], reason.strip()
    if not does.bulk or (does.reason and not reason):
        raise ValueError(f"{action} needs a reason or is not available in bulk")
    matching(does, params, chosen)
    key = finding.list_key(does.on)
    newest = does.on._default_manager.order_by(f"-{key}").values_list(key, flat=True).first()
    asked = {"action": action, "by": by, "reason": reason, "params": dict(params), "newest": str(newest or "")}
    asked["chosen"] = None if chosen is None else [str(key) for key in chosen]
    with transaction.atomic(durable=True):
        run, created = BulkRun.objects.get_or_create(token=token, defaults=asked)
        if created:
            record(by, run, f"Started: {does.label}{f': {reason}' if reason else ''}", ADDITION)
    return run


def stop(*, pk: int, by: User) -> bool:
    """End a run; a row that a worker is processing is rolled back. Return False if the run has already ended."""
    with transaction.atomic(durable=True):
        if stopped := _end(pk, BulkState.STOPPED):
            record(by, BulkRun.objects.get(pk=pk), "Stopped")
    return stopped


def matching(
    action: Action, params: Mapping[str, str], chosen: Sequence[Any] | None, now: datetime | None = None
) -> QuerySet[Any]:
    """Return the rows of a list that match; ages are measured from `now` (UTC).

    Raises UnknownFilter, and ValueError or ValidationError for keys that are invalid.
    """
    rows = finding.rows(action.on, params, now=now)
    return rows if chosen is None else rows.filter(pk__in=chosen)


def step() -> bool:
    """Process the next rows of the run that has waited longest; return True if there was one. A periodic task."""
    # A lease that ends later than any can is one from before the database's clock went back.
    over = Q(lease_until__lte=Now()) | Q(lease_until__gt=Now() + 2 * LEASE)
    due = BulkRun.objects.filter(over, state__in=OPEN).select_related("by")
    if (run := due.order_by("lease_until").first()) is None:
        return False
    if not BulkRun.objects.filter(pk=run.pk, lease_until=run.lease_until).update(lease_until=Now() + LEASE):
        return True  # another worker was faster
    try:
        if why := _why_not(run):
            _end(run.pk, BulkState.FAILED, why)
        else:
            _next_rows(run)
    except Overtaken:
        log.info("A bulk run was stopped or taken over", action="bulk_overtaken", bulk={"id": run.pk})
    except Exception as error:
        if is_away(error):
            raise  # the database is unavailable or a row is locked: the run continues when the lease ends
        log.exception("A bulk run failed", action="bulk_failed", bulk={"id": run.pk, "position": run.position})
        _end(run.pk, BulkState.FAILED, "unexpected error in the row after the last processed one: see the workers' log")
    return True


def _why_not(run: BulkRun) -> str:
    """Return why the run must not continue; empty if it may."""
    if (action := ACTIONS.get(run.action)) is None:
        return f"this version has no action {run.action}"
    allowed = run.by.is_active and run.by.is_staff and run.by.has_perm(action.permission)
    return "" if allowed else f"{run.by} no longer has the permission"


def _next_rows(run: BulkRun) -> None:
    """Run the action on the next rows, for `STEP` seconds or `BATCH` rows; end the run if there are none."""
    action = ACTIONS[run.action]
    key = finding.list_key(action.on)
    rows = matching(action, run.params, run.chosen, run.created_at).order_by(key)
    rows = rows.filter((f"{key}__lte", run.newest)) if run.newest else rows.none()
    if run.state == BulkState.WAITING:
        count = rows[: MOST_COUNTED + 1].count()
        total = count if count <= MOST_COUNTED else None
        BulkRun.objects.filter(pk=run.pk, state=BulkState.WAITING).update(state=BulkState.RUNNING, total=total)
    behind = rows.filter((f"{key}__gt", run.position)) if run.position else rows
    batch = list(behind.values_list("pk", key)[:BATCH])
    if not batch:
        _end(run.pk, BulkState.DONE)
    until, reason = time.monotonic() + STEP, f"{run.reason} (bulk run {run.pk})".lstrip()
    for pk, position in batch:
        advance = partial(_count, run, pk, position)
        if refused := action.run(pk=pk, by=run.by, reason=reason, in_transaction=advance):
            advance(refused)
        if time.monotonic() > until:
            break
    BulkRun.objects.filter(pk=run.pk, position=run.position).update(lease_until=Now())


def _count(run: BulkRun, pk: Any, position: Any, refused: str = "") -> None:
    """Advance the run past this row and count its result, in one commit with the action's effect. Raises Overtaken."""
    known = refused in run.results or len(run.results) < MOST_RESULTS
    result = run.results.setdefault(refused if known else OTHER, {"rows": 0, "first": []})
    result["rows"] += 1
    result["first"] = [*result["first"], str(pk)][:EXAMPLES]
    unchanged = BulkRun.objects.filter(pk=run.pk, position=run.position, state__in=OPEN)
    if not unchanged.update(position=str(position), results=run.results, tried=F("tried") + 1):
        raise Overtaken
    run.position = str(position)


def _end(pk: int, state: BulkState, why: str = "") -> bool:
    """End a run, and return True, unless it has ended already."""
    if ended := BulkRun.objects.filter(pk=pk, state__in=OPEN).update(state=state, why=why, finished_at=Now()):
        log.info("A bulk run has ended", action="bulk_over", bulk={"id": pk, "state": state, "why": why})
    return bool(ended)
