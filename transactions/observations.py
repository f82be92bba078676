"""Observations: what the create's answer, a poll, a webhook, staff or the clock say about a transaction.

`transactions.store.apply` applies them, by the same rules for every source.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from providers.status import Status
from transactions.status import Review, Source, Submission


@dataclass(frozen=True, slots=True)
class Observation:
    """What was observed of a transaction. The defaults say nothing new."""

    source: Source
    status: Status = Status.PENDING
    submission: Submission | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    review: Review | str = ""
    began_at: datetime | None = None
    """Start of the create that this observation is about (UTC)."""
    failure_code: str = ""
    failure_detail: str = ""
    provider: int | None = None
    """The provider that reports it: the observation counts for that provider's transactions only. None: for any."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The effect of an observation. `won`: its status is final now. `contradicts`: another final status stood."""

    transaction_id: UUID
    won: bool
    contradicts: bool
    status_before: Status


def at_provider(source: Source, status: Status, unmapped: str = "") -> Observation:
    """Build the observation that the provider has the transaction, in this status.

    `unmapped` is the provider's own word for the status where the provider's status map lacks it.
    """
    failed = status == Status.FAILED
    return Observation(
        source,
        status=status,
        submission=Submission.CREATED,
        review=Review.UNMAPPED if unmapped else "",
        detail={"word": unmapped} if unmapped else {},
        failure_code="failed_at_provider" if failed else "",
        failure_detail="the provider reports it as failed" if failed else "",
    )
