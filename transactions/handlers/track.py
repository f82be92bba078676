"""The handler `track`: find the outcome by polling, with growing delays. `tries` counts the polls."""

from dataclasses import replace
from datetime import datetime, timedelta

from providers.adapters import ADAPTERS
from providers.adapters.base import Absent, ProviderError
from providers.status import FINAL
from transactions.handlers.answers import failed_call, pause, retry
from transactions.observations import Observation, at_provider
from transactions.status import PASSING, Review, Source, Submission
from transactions.work import PollSoon, Work
from workers.models import JobState
from workers.outbound import Http
from workers.outcomes import Again, Done, Failed, Outcome

MAX_BACKOFF = 15.0
"""Upper bound in seconds for the retry delay after a failed poll; the delay between polls applies if it is longer. All
polls are counted, so the first failure may be the tenth poll. A provider that keeps failing opens its circuit
breaker."""
PARK = 600.0
"""Seconds to wait for the create. The wait ends early when the create ends."""

NEVER_SENT = "it was never sent, no create job waits or runs, and a status check does not find it"


async def track(work: Work, http: Http) -> Outcome:
    """Poll once if the provider may have the transaction. A final status from another source cancels the job.

    A transaction that was never sent and has no create job left is polled once: if the provider does not have it, the
    job is given up, which flags it for review.

    After `track_for` the transaction is flagged for review. The first poll later than `track_for` + `track_grace` after
    the acceptance, or after the last create if that is later, is the last. Staff can ask for one more at any time.
    """
    unsent = work.snapshot.submission == Submission.UNSENT
    if work.create_state == JobState.RUNNING or (unsent and work.create_state == JobState.WAITING):
        # While the create runs or waits to be sent, there is nothing to poll for.
        waits = _overdue(work) or Observation(Source.POLL)
        return Outcome(Again(PARK, why="waits for the create"), waits, (PollSoon(work.provider.second_poll),))
    outcome = await _poll(work, http)
    made = all(call.made for call in outcome.calls)
    return replace(outcome, next=Done()) if made and _over(work) else outcome


def _over(work: Work) -> bool:
    """Return whether this poll is the last one."""
    if work.create_state in (JobState.WAITING, JobState.RUNNING):
        return False
    age = work.age
    if work.create_began_at is not None:
        age = min(age, (work.claim.now() - work.create_began_at).total_seconds())
    return age > work.provider.track_for + work.provider.track_grace


async def _poll(work: Work, http: Http) -> Outcome:
    polls = work.claim.tries + 1
    asked_at = work.claim.now()
    try:
        seen = await ADAPTERS[work.provider.adapter].read(work.provider, http, work.snapshot.id)
    except Absent as error:
        if work.snapshot.submission == Submission.UNSENT:  # no create job is left that could send it
            return Outcome(Failed(NEVER_SENT), calls=(error.call,))
        again = _next(work, polls, why=str(error))
        return Outcome(_before_missing(work, asked_at, again), _absent(work, asked_at), calls=(error.call,))
    except ProviderError as error:
        again = retry(error, polls, cap=MAX_BACKOFF)
        if error.call.made:
            again = Again(max(again.after, _next(work, polls).after), polls, again.why)
        observation = _or_overdue(work, failed_call(error, Source.POLL, work))
        return Outcome(again, observation, pause(error, work), (error.call,))
    observation = at_provider(Source.POLL, seen.status, seen.unmapped, seen.reason)
    if seen.status in FINAL:
        return Outcome(Done(), observation, calls=(seen.call,))
    return Outcome(_next(work, polls), _or_overdue(work, observation), calls=(seen.call,))


def _absent(work: Work, asked_at: datetime) -> Observation | None:
    """Build the observation of a poll that did not find the transaction; None if it adds nothing.

    A transaction that the provider has confirmed is missing once it is absent for longer than `settle_window`.
    """
    if (due := _missing_at(work)) is not None and asked_at >= due:
        why = f"confirmed at {work.seen_at:%H:%M:%S} UTC, and a status check at {asked_at:%H:%M:%S} UTC did not find it"
        return Observation(Source.POLL, review=Review.MISSING, detail={"why": why}, usable=True)
    if work.stuck or work.review in PASSING:
        return _or_overdue(work, Observation(Source.POLL, usable=True))
    return _overdue(work)


def _missing_at(work: Work) -> datetime | None:
    """Return the time from which an absent transaction is missing; None if the provider has not confirmed it."""
    if work.snapshot.submission != Submission.CREATED or work.seen_at is None:
        return None
    return max(work.seen_at, work.create_began_at or work.seen_at) + timedelta(seconds=work.provider.settle_window)


def _before_missing(work: Work, asked_at: datetime, again: Again) -> Again:
    """Poll a confirmed transaction that is absent no later than it would count as missing."""
    due = _missing_at(work)
    if due is None or asked_at >= due:
        return again
    return replace(again, after=min(again.after, (due - work.claim.now()).total_seconds() + 1.0))


def _next(work: Work, polls: int, why: str = "") -> Again:
    """Return the time of the next poll: after `second_poll`, growing by `poll_growth` up to `poll_cap`."""
    provider = work.provider
    delay = provider.second_poll * provider.poll_growth ** min(polls - 1, 64)
    return Again(min(delay, provider.poll_cap), polls, why)


def _or_overdue(work: Work, observation: Observation | None) -> Observation | None:
    """Return the observation of a poll; after `track_for` it flags as overdue, unless it flags for another reason."""
    overdue = _overdue(work)
    if observation is None or overdue is None or observation.review:
        return observation or overdue
    return replace(observation, review=overdue.review, detail=overdue.detail)


def _overdue(work: Work) -> Observation | None:
    """Flag for review after `track_for`. The status stays: time alone does not prove a failure."""
    if work.age <= work.provider.track_for:
        return None
    why = f"no final status after {work.provider.track_for:g} seconds"
    return Observation(Source.CLOCK, review=Review.OVERDUE, detail={"why": why})
