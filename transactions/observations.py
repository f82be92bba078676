"""Observations of a transaction, from the create's answer, a poll, a webhook, staff or the clock.

`transactions.store.apply` applies them by the same rules for every source.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from providers.status import Status
from transactions.status import Review, Source, Submission

FAILURES = {
    Status.FAILED: ("failed_at_provider", "the provider reports it as failed"),
    Status.DECLINED: ("declined", "the provider declined it"),
}
"""The failure's code of a status that the provider reports, and its detail if the provider gives no reason."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Facts observed about a transaction. The defaults change nothing."""

    source: Source
    status: Status = Status.PENDING
    submission: Submission | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    review: Review | str = ""
    began_at: datetime | None = None
    """Start of the create that this observation is about (UTC)."""
    saved_at: datetime | None = None
    """The time of saving by the clock of `began_at`, which may have jumped meanwhile; None: it is the database's."""
    failure_code: str = ""
    failure_detail: str = ""
    usable: bool | None = None
    """True for an answer that could be used: progress. False for a call that failed or whose answer could not be used.
    None: it says nothing about calls."""
    note: str = ""
    """An unusable answer that did not hold up the work. The timeline shows only the first one."""
    provider: int | None = None
    """The reporting provider: the observation applies only to this provider's transactions. None: to those of any."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The effect of an observation. `won`: its status was applied. `contradicts`: it differs from the final status."""

    transaction_id: UUID
    won: bool
    contradicts: bool
    status_before: Status


def at_provider(source: Source, status: Status, unmapped: str = "", reason: str = "") -> Observation:
    """Build the observation that the provider has the transaction, in this status.

    `unmapped` is the provider's own name of the status if the status map lacks it, `reason` its reason of a failure.
    """
    code, default = FAILURES.get(status, ("", ""))
    return Observation(
        source,
        status=status,
        submission=Submission.CREATED,
        review=Review.UNMAPPED if unmapped else "",
        detail={"word": unmapped} if unmapped else {},
        failure_code=code,
        failure_detail=code and (reason or default),
        usable=None if unmapped else True,
    )
