"""What providers' answers mean to every handler that calls one."""

import random
from datetime import datetime

from transactions.news import News
from transactions.providers.base import CredentialsRefused, ProviderError, Throttled, Unsent
from transactions.status import Review, Source, Submission
from workers.registry import Again, backoff

LONGEST_WAIT = 3600.0
"""Seconds that a provider's Retry-After is believed at the most."""


def retry(error: ProviderError, attempt: int, *, cap: float = 60.0) -> Again:
    """When to call again after `error`: as the provider asks, else growing with `attempt` up to `cap` seconds, and
    jittered."""
    if isinstance(error, Unsent):
        return Again(backoff(attempt, base=0.5, cap=cap), why=f"not sent: {error}")
    after = backoff(attempt, base=1.0, cap=cap)
    if isinstance(error, Throttled) and error.retry_after is not None:
        asked = min(error.retry_after, LONGEST_WAIT)
        # Not all at once when the wait is over; and not at once where none is asked for.
        after = asked * random.uniform(1.0, 1.2) if asked else after  # noqa: S311  no secret
    return Again(after, why=str(error))


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
