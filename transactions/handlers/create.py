"""The handler `create`: bring a transaction into being at its provider, exactly once in effect.

Look first, then create. After an unknown outcome nothing is sent again until a look, begun later than
`settle_window` after the last create began, has not found it. `step` counts the creates with an unknown outcome.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from transactions.handlers.answers import retry, trouble
from transactions.handlers.work import Work
from transactions.news import News, sighting
from transactions.providers import ADAPTERS
from transactions.providers.base import Absent, Exists, ProviderError, Refused, Seen, Unclear
from transactions.status import Source, Status, Submission
from workers.outbound import Http
from workers.rate_limit import may_call_again
from workers.registry import Again, Call, Done, Outcome, backoff


async def create(work: Work, http: Http) -> Outcome:
    """One run: a look where needed, a create where it is safe. Returns what it learnt and what comes next."""
    if work.record.submission == Submission.CREATED:
        # A poll or a webhook has seen it: polling, which may have waited for this run, finds its status.
        return Outcome(Done(), News(Source.CREATE, hasten=work.provider.second_poll))
    provider, adapter = work.provider, ADAPTERS[work.provider.adapter]
    calls: list[Call] = []
    if provider.check_before_create or work.create_began_at is not None or work.claim.attempt > 1:
        asked_at = work.claim.now()
        try:
            seen = await adapter.read(provider, http, work.record.id)
        except Absent as absent:
            calls.append(absent.call)
            if (verdict := _while_absent(work, asked_at)) is not None:
                return Outcome(*verdict, calls=tuple(calls))
        except ProviderError as error:
            return _no_answer(work, error, calls)
        else:
            return _created(work, seen, calls)
    if not await may_call_again(work.claim, within=provider.create_timeout):
        # A create must not outlive its lease: whoever runs the job next counts from the lease's end.
        again = Again(backoff(work.claim.attempt, base=0.1, cap=60.0), why="too late in its lease to begin a create")
        return Outcome(again, calls=tuple(calls))
    began_at = work.claim.now() + timedelta(seconds=work.claim.lag)
    try:
        seen = await adapter.create(provider, http, work.order)
    except Exists as error:
        return await _read_existing(work, http, [*calls, error.call])
    except Refused as error:
        return _refused(error, calls)
    except Unclear as error:
        return _unknown(work, error, began_at, calls)
    except ProviderError as error:
        return _no_answer(work, error, calls)
    return _created(work, seen, calls, began_at)


def _while_absent(work: Work, asked_at: datetime) -> tuple[Again | Done, News] | None:
    """What a look that found nothing says of a create that began before; None: it is safe to create."""
    if work.create_began_at is None:
        return None
    settled_at = work.create_began_at + timedelta(seconds=work.provider.settle_window)
    if asked_at < settled_at:
        wait = (settled_at - work.claim.now()).total_seconds()
        hasten = work.provider.second_poll
        news = News(Source.CREATE, submission=Submission.UNKNOWN, began_at=work.create_began_at, hasten=hasten)
        return Again(max(wait, 0.0), why="not there yet, but the last create may still take effect"), news
    if work.claim.step <= work.provider.create_retries:
        return None
    return Done(), News(
        Source.CLOCK,
        status=Status.FAILED,
        submission=Submission.REFUSED,
        failure_code="not_created",
        failure_detail=f"{work.claim.step} creates went unanswered, and none of them took effect",
    )


def _created(work: Work, seen: Seen, calls: list[Call], began_at: datetime | None = None) -> Outcome:
    news = sighting(Source.CREATE, seen.status, seen.unmapped)
    news = replace(news, began_at=began_at, hasten=work.provider.second_poll)
    return Outcome(Done(), news, (*calls, seen.call))


async def _read_existing(work: Work, http: Http, calls: list[Call]) -> Outcome:
    """The create was answered "it exists": read it."""
    try:
        seen = await ADAPTERS[work.provider.adapter].read(work.provider, http, work.record.id)
    except ProviderError as error:
        # It exists, as the provider itself says; polling finds its status.
        news = News(Source.CREATE, submission=Submission.CREATED, hasten=work.provider.second_poll)
        return Outcome(Done(), news, (*calls, error.call))
    return _created(work, seen, calls)


def _refused(error: Refused, calls: list[Call]) -> Outcome:
    news = News(
        Source.CREATE,
        status=Status.FAILED,
        submission=Submission.REFUSED,
        failure_code="refused",
        failure_detail=str(error),
    )
    return Outcome(Done(), news, (*calls, error.call))


def _unknown(work: Work, error: Unclear, began_at: datetime, calls: list[Call]) -> Outcome:
    """It may exist now or later: polling looks for it meanwhile, and the next run begins with a look."""
    began_at += timedelta(milliseconds=error.call.connect_ms)  # it was sent no sooner
    news = News(Source.CREATE, submission=Submission.UNKNOWN, began_at=began_at, hasten=work.provider.second_poll)
    again = Again(work.provider.create_retry_delay, work.claim.step + 1, f"unknown: {error}")
    return Outcome(again, news, (*calls, error.call))


def _no_answer(work: Work, error: ProviderError, calls: list[Call]) -> Outcome:
    """This run created nothing, and nothing speaks against another: later, without using up a retry."""
    news = trouble(error, Source.CREATE, work.create_began_at)
    if news is not None:
        news = replace(news, hasten=work.provider.second_poll)
    return Outcome(retry(error, work.claim.attempt), news, (*calls, error.call))
