"""Removal of review flags. Call these in the database transaction that holds the transaction's row lock."""

from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from transactions.models import Event, Transaction
from transactions.status import Review, Source
from workers.models import Job, JobState


def withdraw(transaction_id: UUID, was: str, source: Source, **detail: Any) -> None:
    """Remove the review flag if its reason is `was`, and record it on the timeline with `detail`."""
    if Transaction.objects.filter(pk=transaction_id, review=was).update(review="", review_why=""):
        entry = detail | {"review": "", "was": was}
        Event.objects.create(transaction_id=transaction_id, kind=Event.Kind.REVIEW, source=source, detail=entry)


def withdraw_given_up(transaction_id: UUID, source: Source, **detail: Any) -> None:
    """Remove the flag `given_up`, unless another job of the transaction has failed."""
    if not Job.objects.filter(transaction_id=transaction_id, state=JobState.FAILED).exists():
        withdraw(transaction_id, Review.GIVEN_UP, source, **detail)


def client_notified(transaction_id: UUID) -> None:
    """Cancel failed notifications, because the client has confirmed the current status."""
    why = "the client has confirmed the current status"
    failed = Job.objects.filter(transaction_id=transaction_id, kind="notify", state=JobState.FAILED)
    failed.update(state=JobState.CANCELLED, last_error=why, updated_at=Now())
    withdraw_given_up(transaction_id, Source.CLOCK, why=why)
