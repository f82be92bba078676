"""Audit log of changes by staff, and the guard against forms that are submitted twice or are out of date.

Each change by staff writes an entry (Django's `LogEntry`) in the database transaction of the change. A form carries the
number of the newest entry about its object; a change is refused when a newer entry exists.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Max, Model, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from transactions.models import Event, Transaction
from workers.models import Job

OUTDATED = "staff have made a change here since this page was opened: check what they changed, then try again"


class Refused(Exception):
    """The change is not possible now. The message is the reason; the database transaction is rolled back."""


def record(by: User, row: Model, message: str, flag: int = CHANGE) -> None:
    """Write an audit-log entry about `row`; `flag` is one of `LogEntry`'s action flags."""
    LogEntry.objects.log_actions(by.pk, [row], flag, message, single_object=True)


def newest_entry(row: Model) -> int:
    """Return the number of the newest audit-log entry about `row`, 0 for none. A transaction includes its jobs.

    One query by the index `audit_object`. Jobs are taken from the timeline, where they remain after their deletion.
    """
    models: list[type[Model]] = [type(row)]
    ids: Any = [str(row.pk)]
    if isinstance(row, Transaction):
        models.append(Job)
        of = Transaction.objects.filter(pk=row.pk).values(text=Cast("pk", TextField()))
        events = Event.objects.filter(transaction=row, kind=Event.Kind.STAFF, detail__has_key="job")
        ids = of.union(events.values(text=KeyTextTransform("job", "detail")))
    types = ContentType.objects.get_for_models(*models).values()
    entries = LogEntry.objects.filter(content_type__in=types, object_id__in=ids)
    return entries.aggregate(newest=Max("pk"))["newest"] or 0


def refuse_outdated(row: Model, seen: int | None) -> None:
    """Raise Refused if staff have changed `row` after a form was made for it. Call this while `row` is locked.

    `seen` is the `newest_entry` of that time; None skips the check.
    """
    if seen is not None and newest_entry(row) != seen:
        raise Refused(OUTDATED)
