"""The handling of an adapter's errors, shared by the handlers `create` and `track`."""

import random
from datetime import datetime

from providers.adapters.base import AccessDenied, CredentialsRefused, ProviderError, Throttled, Unsent, Unusable
from transactions.observations import Observation
from transactions.status import Review, Source, Submission
from transactions.work import DeniedAccess, PauseProvider, Work
from workers import own_faults
from workers.outcomes import Again, backoff

MAX_RETRY_AFTER = 3600.0
"""Upper bound in seconds for a provider's Retry-After."""


def retry(error: ProviderError, attempt: int, *, cap: float = 60.0) -> Again:
    """Return when to call again after `error`: as the provider asks, else growing with `attempt` up to `cap` seconds.

    Both delays are jittered. After a limit of this host: soon.
    """
    if not error.call.made:
        return Again(own_faults.pause(), why=str(error))
    if isinstance(error, Unsent):
        return Again(backoff(attempt, base=0.5, cap=cap), why=f"not sent: {error}")
    after = backoff(attempt, base=1.0, cap=cap)
    if isinstance(error, Throttled) and error.retry_after is not None:
        asked = min(error.retry_after, MAX_RETRY_AFTER)
        # Spread the calls after the wait; where the provider asks for none, use the backoff.
        after = asked * random.uniform(1.0, 1.2) if asked else after  # noqa: S311  no secret
    return Again(after, why=str(error))


def failed_call(
    error: ProviderError, source: Source, work: Work, began_at: datetime | None = None
) -> Observation | None:
    """Build the observation for a call that failed, or whose answer could not be used; None if it adds nothing.

    Answers that an operator must look at flag the transaction for review. `began_at` is the start of a create whose run
    was lost: the job forgets it when this run settles, so the transaction keeps it.
    """
    review, why = review_of(error)
    if work.stuck and began_at is None and review in ("", work.review):
        return None
    submission = Submission.UNKNOWN if began_at is not None else None
    detail = {"why": why} if review else {}
    return Observation(source, submission=submission, review=review, detail=detail, began_at=began_at, usable=False)


def review_of(error: ProviderError) -> tuple[Review | str, str]:
    """Return the reason for which an operator must review the transaction after this error, and its explanation."""
    match error:
        case CredentialsRefused():
            return Review.CREDENTIALS, _credentials_refused(error)
        case AccessDenied():
            return Review.DENIED, str(error)
        case Unusable():
            return Review.UNMAPPED if error.unmapped else Review.UNREADABLE, str(error)
    return "", ""


def pause(error: ProviderError, work: Work) -> tuple[PauseProvider | DeniedAccess, ...]:
    """Return the command for an error that shows, or may show, that the provider refuses our credentials.

    The 403 of a transaction that is flagged as denied already shows nothing about the others.
    """
    if isinstance(error, CredentialsRefused):
        return (PauseProvider(_credentials_refused(error)),)
    if isinstance(error, AccessDenied) and work.review != Review.DENIED:
        return (DeniedAccess(_credentials_refused(error)),)
    return ()


def _credentials_refused(error: ProviderError) -> str:
    return f"{error}: correct the credentials in its headers, then resume the provider"
