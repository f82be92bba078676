"""What providers' answers mean to every handler that calls one."""

from datetime import datetime

from transactions.news import News
from transactions.providers.base import CredentialsRefused, ProviderError, Seen, Throttled, Unsent
from transactions.status import Review, Source, Status, Submission
from workers.registry import Again, backoff

LONGEST_WAIT = 3600.0
"""Seconds that a provider's Retry-After is believed at the most."""


def sighting(seen: Seen, source: Source, began_at: datetime | None = None, hasten: float | None = None) -> News:
    """The news that a provider has the transaction, in some status."""
    failed = seen.status == Status.FAILED
    return News(
        source,
        status=seen.status,
        submission=Submission.CREATED,
        review=Review.UNMAPPED if seen.unmapped else "",
        detail={"word": seen.unmapped} if seen.unmapped else {},
        began_at=began_at,
        hasten=hasten,
        failure_code="failed_at_provider" if failed else "",
        failure_detail="the provider reports it as failed" if failed else "",
    )


def retry(error: ProviderError, attempt: int) -> Again:
    """When to call again after `error`: as the provider asks, else growing with `attempt`, and jittered."""
    if isinstance(error, Throttled) and error.retry_after is not None:
        return Again(min(error.retry_after, LONGEST_WAIT), why=str(error))
    if isinstance(error, Unsent):
        return Again(backoff(attempt, base=0.5, cap=60.0), why=f"not sent: {error}")
    return Again(backoff(attempt, base=1.0, cap=60.0), why=str(error))


def trouble(error: ProviderError, source: Source, began_at: datetime | None) -> News | None:
    """What is to be remembered of a call that brought nothing: refused credentials pause the provider and call an
    operator; a create of a lost run, which the job forgets when this run settles, is kept with the transaction."""
    submission = Submission.UNKNOWN if began_at is not None else None
    if isinstance(error, CredentialsRefused):
        why = f"{error}: mend the credentials in its headers, then resume it"
        return News(
            source,
            submission=submission,
            review=Review.CREDENTIALS,
            detail={"why": why},
            began_at=began_at,
            pause_provider=why,
        )
    return News(source, submission=submission, began_at=began_at) if began_at is not None else None
