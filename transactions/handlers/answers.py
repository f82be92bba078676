"""The handling of an adapter's errors, shared by the handlers `create` and `track`."""

import random
from datetime import datetime

from providers.adapters.base import CredentialsRefused, ProviderError, Throttled, Unsent
from transactions.observations import Observation
from transactions.status import Review, Source, Submission
from transactions.work import PauseProvider
from workers.outcomes import Again, backoff

MAX_RETRY_AFTER = 3600.0
"""Upper bound in seconds for a provider's Retry-After."""


def retry(error: ProviderError, attempt: int, *, cap: float = 60.0) -> Again:
    """Return when to call again after `error`: as the provider asks, else growing with `attempt` up to `cap` seconds.

    Both delays are jittered.
    """
    if isinstance(error, Unsent):
        return Again(backoff(attempt, base=0.5, cap=cap), why=f"not sent: {error}")
    after = backoff(attempt, base=1.0, cap=cap)
    if isinstance(error, Throttled) and error.retry_after is not None:
        asked = min(error.retry_after, MAX_RETRY_AFTER)
        # Spread the calls after the wait; where the provider asks for none, use the backoff.
        after = asked * random.uniform(1.0, 1.2) if asked else after  # noqa: S311  no secret
    return Again(after, why=str(error))


def failed_call(error: ProviderError, source: Source, began_at: datetime | None) -> Observation | None:
    """Build the observation for a failed call; None if the call shows nothing.

    Refused credentials flag the transaction for review. `began_at` is the start of a create whose run was lost: the job
    forgets it when this run settles, so the transaction keeps it.
    """
    submission = Submission.UNKNOWN if began_at is not None else None
    if isinstance(error, CredentialsRefused):
        detail = {"why": _credentials_refused(error)}
        return Observation(source, submission=submission, review=Review.CREDENTIALS, detail=detail, began_at=began_at)
    return Observation(source, submission=submission, began_at=began_at) if began_at is not None else None


def pause(error: ProviderError) -> tuple[PauseProvider, ...]:
    """Return the command that pauses the provider if it refused our credentials; otherwise nothing."""
    return (PauseProvider(_credentials_refused(error)),) if isinstance(error, CredentialsRefused) else ()


def _credentials_refused(error: CredentialsRefused) -> str:
    return f"{error}: correct the credentials in its headers, then resume the provider"
