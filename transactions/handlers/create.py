"""The handler `create`: create a transaction at its provider without duplicates.

Check the status first, then create. After an unanswered create nothing is sent again until a status check that began
later than `settle_window` after the last create has not found the transaction. As long as nothing was ever sent, an
answer to the check that proves nothing does not hold up the create. `tries` counts the unanswered creates. A create of
which the database has lost the record counts as begun when the loss was noticed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from providers.adapters import ADAPTERS
from providers.adapters.base import Absent, Copy, Exists, ProviderError, Refused, Unclear, Unusable
from providers.status import Status
from transactions.handlers.answers import failed_call, pause, retry, review_of
from transactions.observations import Observation, at_provider
from transactions.status import Source, Submission
from transactions.work import PollSoon, Work
from workers.outbound import Http
from workers.outcomes import Again, Call, Done, Outcome, backoff
from workers.rate_limit import may_call_again


async def create(work: Work, http: Http) -> Outcome:
    """Check the status if needed, and create if that is safe."""
    if work.snapshot.submission == Submission.CREATED:
        # A poll or a webhook has seen the transaction. Polling, which may have waited for this run, finds its status.
        return Outcome(Done(), Observation(Source.CREATE), _poll_soon(work))
    provider = work.provider
    calls: list[Call] = []
    note = ""
    doubtful = work.create_began_at is not None or work.claim.claim_count > 1 or work.commits_lost
    if provider.check_before_create or doubtful:
        asked_at = work.claim.now()
        try:
            seen = await ADAPTERS[provider.adapter].read(provider, http, work.snapshot.id)
        except Absent as absent:
            calls.append(absent.call)
            if (outcome := _while_absent(work, asked_at, calls)) is not None:
                return outcome
        except Unusable as error:
            if work.create_began_at is not None:
                return _no_answer(work, error, calls)
            calls.append(error.call)
            note = f"{error}; nothing was sent before, so the create went on"
        except ProviderError as error:
            return _no_answer(work, error, calls)
        else:
            return _created(work, seen, calls)
    outcome = await _create(work, http, calls)
    return (
        replace(outcome, result=replace(outcome.result or Observation(Source.CREATE), note=note)) if note else outcome
    )


async def _create(work: Work, http: Http, calls: list[Call]) -> Outcome:
    """Create the transaction; nothing that was sent earlier can take effect any more."""
    provider = work.provider
    if not await may_call_again(work.claim, within=provider.create_timeout):
        # A create must end before its lease: the next run counts the settle window from the end of the lease.
        wait = backoff(work.claim.claim_count, base=0.1, cap=60.0)
        return Outcome(Again(wait, why="too late in its lease to begin a create"), calls=tuple(calls))
    if work.may_be_lost:
        return Outcome(Again(0.1, why="the database has lost commits since the claim"), calls=tuple(calls))
    began_at = work.claim.now() + timedelta(seconds=work.claim.lag)
    try:
        seen = await ADAPTERS[provider.adapter].create(provider, http, work.order)
    except Exists as error:
        return await _read_existing(work, http, [*calls, error.call])
    except Refused as error:
        return _failed(Source.CREATE, "refused", str(error), [*calls, error.call])
    except Unclear as error:
        return _unknown(work, error, began_at, calls)
    except ProviderError as error:
        return _no_answer(work, error, calls)
    return _created(work, seen, calls, began_at)


def _poll_soon(work: Work) -> tuple[PollSoon]:
    return (PollSoon(work.provider.second_poll),)


def _while_absent(work: Work, asked_at: datetime, calls: list[Call]) -> Outcome | None:
    """Return the outcome of a status check that found nothing; None if it is safe to create."""
    if work.create_began_at is None:
        return None
    settled_at = work.create_began_at + timedelta(seconds=work.provider.settle_window)
    if asked_at < settled_at:
        wait = max((settled_at - work.claim.now()).total_seconds(), 0.0)
        again = Again(wait, why="not found, but the last create may still take effect")
        began_at = work.create_began_at
        observation = Observation(Source.CREATE, submission=Submission.UNKNOWN, began_at=began_at, usable=True)
        return Outcome(again, observation, _poll_soon(work), tuple(calls))
    if work.claim.tries <= work.provider.create_retries:
        return None
    why = f"{work.claim.tries} creates went unanswered, and none of them took effect"
    return _failed(Source.CLOCK, "not_created", why, calls)


def _created(work: Work, seen: Copy, calls: list[Call], began_at: datetime | None = None) -> Outcome:
    observation = replace(at_provider(Source.CREATE, seen.status, seen.unmapped, seen.reason), began_at=began_at)
    return Outcome(Done(), observation, _poll_soon(work), (*calls, seen.call))


async def _read_existing(work: Work, http: Http, calls: list[Call]) -> Outcome:
    """Read the status after the provider answered that the transaction exists."""
    try:
        seen = await ADAPTERS[work.provider.adapter].read(work.provider, http, work.snapshot.id)
    except ProviderError as error:
        # The provider itself says that it exists; polling finds the status.
        review, why = review_of(error)
        detail = {"why": why} if review else {}
        observation = Observation(Source.CREATE, submission=Submission.CREATED, review=review, detail=detail)
        return Outcome(Done(), observation, _poll_soon(work), (*calls, error.call))
    return _created(work, seen, calls)


def _failed(source: Source, code: str, detail: str, calls: list[Call]) -> Outcome:
    observation = Observation(source, Status.FAILED, Submission.REFUSED, failure_code=code, failure_detail=detail)
    return Outcome(Done(), observation, calls=tuple(calls))


def _unknown(work: Work, error: Unclear, began_at: datetime, calls: list[Call]) -> Outcome:
    """Record that the create may take effect later. Polling continues, and the next run begins with a status check."""
    began_at += timedelta(milliseconds=error.call.connect_ms)  # nothing was sent before that
    observation = Observation(Source.CREATE, submission=Submission.UNKNOWN, began_at=began_at, usable=False)
    again = Again(work.provider.create_retry_delay, work.claim.tries + error.call.made, f"unknown: {error}")
    return Outcome(again, observation, _poll_soon(work), (*calls, error.call))


def _no_answer(work: Work, error: ProviderError, calls: list[Call]) -> Outcome:
    """Run again later without using up a retry, because this run created nothing."""
    observation = failed_call(error, Source.CREATE, work, work.create_began_at)
    commands = pause(error, work) + (_poll_soon(work) if work.create_began_at is not None else ())
    return Outcome(retry(error, work.claim.claim_count), observation, commands, (*calls, error.call))
