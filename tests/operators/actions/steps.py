"""Set-up and look-ups of the tests of actions."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from operators.actions.table import ACTIONS
from tests.cast import job, now
from tests.running import began
from transactions.models import Event, Transaction
from transactions.snapshot import TransactionSnapshot
from workers.models import Job


def why_not(name: str, record: TransactionSnapshot) -> str:
    """Return why an action is not possible now."""
    return ACTIONS[name].blocked_reason(now(record))


def staff_events(record: TransactionSnapshot) -> list[dict[str, Any]]:
    """Return the details of the staff entries on its timeline."""
    return list(Event.objects.filter(transaction=record.id, kind="staff").values_list("detail", flat=True))


def is_over(found: Job, state: str = "done", **fields: Any) -> Job:
    """Let a job have ended an hour ago."""
    an_hour_ago = Now() - timedelta(hours=1)
    Job.objects.filter(pk=found.pk).update(state=state, claim_count=1, updated_at=an_hour_ago, **fields)
    return Job.objects.get(pk=found.pk)


def created(record: TransactionSnapshot, ago: float) -> None:
    """Let the provider have created it `ago` seconds ago; it is tracked."""
    is_over(job(record, "create"))
    began(record, ago, submission="created", seen_at=Now() - timedelta(seconds=ago))
    Job.objects.filter(pk=job(record, "track").pk).update(claim_count=3, tries=3, run_at=Now() + timedelta(hours=1))


def unanswered(record: TransactionSnapshot, ago: float) -> None:
    """Let its create have begun `ago` seconds ago without an answer, and have been given up; it is tracked."""
    created(record, ago)
    is_over(job(record, "create"), "failed")
    began(record, ago, seen_at=None)


def is_final(record: TransactionSnapshot, status: str, **fields: Any) -> None:
    """Make it final."""
    Transaction.objects.filter(pk=record.id).update(status=status, sequence=2, finalised_at=Now(), **fields)
    Job.objects.filter(transaction_id=record.id, state="waiting").update(state="cancelled")
