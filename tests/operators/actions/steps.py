"""How things stand before and after a button is pressed."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from operators.actions.table import ACTIONS
from tests.cast import job, now
from tests.running import began
from transactions.models import Event, Transaction
from transactions.snapshot import TransactionSnapshot
from workers.models import Job, OutboundCall


def why_not(name: str, record: TransactionSnapshot) -> str:
    """What the page says of a button."""
    return ACTIONS[name].blocked_reason(now(record))


def staff_events(record: TransactionSnapshot) -> list[dict[str, Any]]:
    """What staff did to it, as its timeline says."""
    return list(Event.objects.filter(transaction=record.id, kind="staff").values_list("detail", flat=True))


def is_over(found: Job, state: str = "done", **fields: Any) -> Job:
    """Let a job be over, an hour ago."""
    an_hour_ago = Now() - timedelta(hours=1)
    Job.objects.filter(pk=found.pk).update(state=state, claim_count=1, updated_at=an_hour_ago, **fields)
    return Job.objects.get(pk=found.pk)


def created(record: TransactionSnapshot, ago: float) -> None:
    """Let its provider have created it so many seconds ago; it is tracked."""
    is_over(job(record, "create"))
    began(record, ago, submission="created", seen_at=Now() - timedelta(seconds=ago))
    Job.objects.filter(pk=job(record, "track").pk).update(claim_count=3, tries=3, run_at=Now() + timedelta(hours=1))


def polled(record: TransactionSnapshot, answer: int | None, ago: float) -> None:
    """Let a poll have been answered so many seconds ago."""
    OutboundCall.objects.create(
        job=job(record, "track"),
        transaction_id=record.id,
        attempt=3,
        method="GET",
        http_status=answer,
        started_at=Now() - timedelta(seconds=ago),
    )


def is_final(record: TransactionSnapshot, status: str, **fields: Any) -> None:
    """Let it have ended."""
    Transaction.objects.filter(pk=record.id).update(status=status, sequence=2, finalised_at=Now(), **fields)
    Job.objects.filter(transaction_id=record.id, state="waiting").update(state="cancelled")
