"""Taking back the flag that has an operator look, in the database transaction that holds the transaction's row."""

from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from transactions.models import Event, Transaction
from transactions.status import Review, Source
from workers.models import Job, JobState


def withdraw(transaction_id: UUID, was: str, source: Source, **told: Any) -> None:
    """Nobody need look any more at what was flagged for this reason; `told` goes with it to the timeline."""
    if Transaction.objects.filter(pk=transaction_id, review=was).update(review=""):
        detail = told | {"review": "", "was": was}
        Event.objects.create(transaction_id=transaction_id, kind=Event.Kind.REVIEW, source=source, detail=detail)


def withdraw_given_up(transaction_id: UUID, source: Source, **told: Any) -> None:
    """The same for a job that was given up, unless another one of the transaction still is."""
    if not Job.objects.filter(transaction_id=transaction_id, state=JobState.FAILED).exists():
        withdraw(transaction_id, Review.GIVEN_UP, source, **told)


def client_told(transaction_id: UUID) -> None:
    """The client has confirmed how it stands: what was given up of telling it is needless."""
    why = "the client has confirmed the news"
    failed = Job.objects.filter(transaction_id=transaction_id, kind="notify", state=JobState.FAILED)
    failed.update(state=JobState.CANCELLED, last_error=why, updated_at=Now())
    withdraw_given_up(transaction_id, Source.CLOCK, why=why)
