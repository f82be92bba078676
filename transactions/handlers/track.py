"""The handler `track`: find the outcome by polling, with growing delays. `step` counts the polls."""

from dataclasses import replace

from transactions.handlers.answers import retry, trouble
from transactions.handlers.work import Work
from transactions.news import News, sighting
from transactions.providers import ADAPTERS
from transactions.providers.base import Absent, ProviderError
from transactions.status import FINAL, Review, Source, Submission
from workers.outbound import Http
from workers.registry import Again, Done, Outcome

LONGEST_BACKOFF = 15.0
"""Seconds that one failed poll puts off the next, where polls come closer together than that: it was counted among the
polls, so the tenth that fails may be the first. A provider that fails on is held off by its circuit breaker."""
PARK = 600.0
"""Seconds to wait for the create; the end of its call ends the wait."""


async def track(work: Work, http: Http) -> Outcome:
    """One run: a poll, where one can tell something. A webhook or the create's answer cancels the job.

    The first poll `track_grace` after `track_for` is the last: an operator has been asked to look since then. Staff may
    ask for one more at any time. What is created only now, by staff or after a long outage, is polled for as long.
    """
    if work.creating or work.record.submission == Submission.UNSENT:
        # Nothing to poll while the create is under way or waits to be sent, however long that is.
        waits = replace(_overdue(work) or News(Source.POLL), hasten=work.provider.second_poll)
        return Outcome(Again(PARK, why="waits for the create"), waits)
    outcome = await _poll(work, http)
    return replace(outcome, next=Done()) if _over(work) else outcome


def _over(work: Work) -> bool:
    if work.to_create:
        return False
    began_at, age = work.create_began_at, work.age
    if began_at is not None:
        age = min(age, (work.claim.now() - began_at).total_seconds())
    return age > work.provider.track_for + work.provider.track_grace


async def _poll(work: Work, http: Http) -> Outcome:
    polls = work.claim.step + 1
    try:
        seen = await ADAPTERS[work.provider.adapter].read(work.provider, http, work.record.id)
    except Absent as error:
        return Outcome(_next(work, polls, why=str(error)), _overdue(work), (error.call,))
    except ProviderError as error:
        again = retry(error, polls, cap=LONGEST_BACKOFF)
        after = max(again.after, _next(work, polls).after)
        learnt = trouble(error, Source.POLL, None) or _overdue(work)
        return Outcome(Again(after, polls, again.why), learnt, (error.call,))
    news = sighting(Source.POLL, seen.status, seen.unmapped)
    if seen.status in FINAL:
        return Outcome(Done(), news, (seen.call,))
    if not seen.unmapped and (overdue := _overdue(work)) is not None:
        news = replace(news, review=overdue.review, detail=overdue.detail)
    return Outcome(_next(work, polls), news, (seen.call,))


def _next(work: Work, polls: int, why: str = "") -> Again:
    """The next poll: after `second_poll`, growing by `poll_growth` up to `poll_cap`."""
    provider = work.provider
    delay = provider.second_poll * provider.poll_growth ** min(polls - 1, 64)
    return Again(min(delay, provider.poll_cap), polls, why)


def _overdue(work: Work) -> News | None:
    """After `track_for` an operator must look. The status stays: time alone is no proof of failure."""
    if work.age <= work.provider.track_for:
        return None
    why = f"no final status after {work.provider.track_for:g} seconds"
    return News(Source.CLOCK, review=Review.OVERDUE, detail={"why": why})
