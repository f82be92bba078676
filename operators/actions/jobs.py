"""Actions on jobs that call the provider. None of them can create a transaction twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from operators.actions.action import ActionContext, Steps, action, obstacle, transaction_of
from operators.audit import Refused
from providers.status import FINAL
from transactions.models import Transaction
from transactions.reviews import withdraw_given_up
from transactions.status import Source, Submission
from workers.clock import CLOCK_TIMESTAMP
from workers.foundation.formatting import span
from workers.models import Job, JobState
from workers.operations import cancel, requeue, reschedule
from workers.outcomes import Wake

AT_PROVIDER = ("create", "track")
"""Kinds of jobs that end with a final status, and that flag the transaction when they are given up."""
OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
NOT_FAILED = "the job has not failed"
FINAL_ALREADY = "its transaction is final: nothing is left to do"
CREATED_ALREADY = "the provider has the transaction already: it must not be created again"
CLAIMED = "a worker has just claimed the job: try again in a moment"


@action(Job, "Retry", permission="workers.retry_job", bulk=True, silent=True)
def retry(job: Job) -> Steps:
    """Run a failed job again, from the start of its schedule, if its work is still needed.

    If the status becomes final before the job runs, the job finds that nothing is left to do.
    """
    if job.state != JobState.FAILED:
        raise Refused(NOT_FAILED)
    of = transaction_of(job)
    if job.kind in AT_PROVIDER:
        if of is None or of.status in FINAL:
            raise Refused(FINAL_ALREADY)
        if job.kind == "create" and of.submission not in (Submission.UNSENT, Submission.UNKNOWN):
            raise Refused(CREATED_ALREADY)
    context = yield _what_runs_again(job, of) if of else "The job runs again."
    context.note(f"retried the job {job.kind}", error=job.last_error)
    return _requeue(context, job.transaction_id, job)


def _what_runs_again(job: Job, of: Transaction) -> str:
    steps = {
        "create": f"It checks whether {of.provider} has the transaction. If not, it creates the transaction, but no "
        f"earlier than {of.provider.settle_window:g} s after this job failed: until then an earlier create may still "
        "take effect",
        "track": f"It polls {of.provider}, with increasing delays, until the status is final",
        "notify": f"It sends {of.client} the current status ({of.status}) until the endpoint confirms it",
    }
    step = steps.get(job.kind, "The job runs again")
    return f"It was given up: {job.last_error}. {step}{obstacle(of, job.kind)}. Its retries start over, now."


@action(Transaction, "Poll now", reason=False, bulk=True)
def poll_now(of: Transaction) -> Steps:
    """Poll now; restart tracking if it has ended."""
    if of.status in FINAL:
        raise Refused(f"the status is final ({of.status}): there is nothing to poll for")
    if of.submission == Submission.UNSENT:
        raise Refused("it is not sent yet: there is nothing to poll for")
    jobs = at_provider(of)
    create, track = jobs["create"], jobs["track"]
    if create.state == JobState.RUNNING:
        raise Refused("a create is running: its response gives the status, otherwise polling continues after it")
    if track.state == JobState.RUNNING:
        raise Refused("a poll is running")
    held = obstacle(of, "track")
    if track.state == JobState.WAITING and track.run_at <= track.now:
        raise Refused(f"a poll is due already{held}")
    over = track.state in OVER
    after = "tracking starts over, with increasing delays" if over else "the next poll follows after the usual delay"
    context = yield f"We poll {of.provider} for the status now{held}. If it is not final, {after}."
    context.note("requested a poll", was=track.state)
    if over:
        return _requeue(context, of.pk, track)
    return [_claimable(reschedule(job_id=track.pk))]


@action(Transaction, "Cancel tracking", bulk=True)
def cancel_tracking(of: Transaction) -> Steps:
    """Cancel the polling job. A create is not cancelled: that is a decision on the outcome, see `set_status`."""
    if of.status in FINAL:
        raise Refused(f"the status is final ({of.status}): tracking has ended")
    track = at_provider(of)["track"]
    if track.state in OVER:
        raise Refused("tracking has ended already")
    if track.state == JobState.RUNNING:
        raise Refused("a poll is running: try again in a moment")
    context = yield (
        f"We stop polling {of.provider} for this transaction, and it is not flagged as overdue, until staff use Poll "
        "now. It stays pending; a webhook can still make it final. A create that is waiting is not cancelled: to "
        "cancel it too, use Set status."
    )
    context.note("cancelled the tracking")
    if not cancel(job_id=track.pk, why="cancelled by staff"):
        raise Refused(CLAIMED)
    return []


@action(Transaction, "Create again", bulk=True)
def create_again(of: Transaction) -> Steps:
    """Run the create again, with all its retries; restart tracking if it has ended.

    Refuse if a create can still take effect, or if the provider has confirmed the transaction. A wrong decision here,
    by a worker's clock for example, creates nothing twice: the create job itself makes a status check first, and waits
    for the settle window.
    """
    if of.status in FINAL:
        raise Refused(f"the status is final ({of.status}): there is nothing to create")
    if of.submission == Submission.REFUSED:
        raise Refused(f"{of.provider} has refused it")
    if of.submission == Submission.CREATED:
        raise Refused(
            f"{of.provider} has confirmed it: a second create could pay twice. Ask {of.provider}, then set status"
        )
    jobs = at_provider(of)
    create = jobs["create"]
    if create.state == JobState.RUNNING:
        raise Refused("a create is running")
    if create.state == JobState.WAITING:
        due = (create.run_at - create.now).total_seconds()
        when = f"in {span(due)}" if due > 0 else "now"
        raise Refused(f"a create is scheduled: it runs {when}{obstacle(of, 'create')}")
    _refuse_unsettled(of, create)
    context = yield (
        f"We check {of.provider} first{obstacle(of, 'create')}. If the transaction exists, nothing is created; "
        f"otherwise it is created with the same id ({of.pk}). Then it is tracked."
    )
    context.note("requested another create", submission=of.submission)
    return _requeue(context, of.pk, *(job for job in jobs.values() if job.state in OVER))


def _refuse_unsettled(of: Transaction, create: Any) -> None:
    """Raise Refused if a create may still take effect."""
    window = timedelta(seconds=of.provider.settle_window)
    at = _create_began_at(of, create)
    if at is not None and create.now < at + window:
        ago, left = (span(abs((create.now - time).total_seconds())) for time in (at, at + window))
        raise Refused(f"a create began {ago} ago and may still take effect: try again in {left}")


def at_provider(of: Transaction) -> dict[str, Any]:
    """Return the jobs of `AT_PROVIDER` by kind, each with the database's time as `now`."""
    rows = Job.objects.filter(transaction_id=of.pk, kind__in=AT_PROVIDER).annotate(now=CLOCK_TIMESTAMP)
    return {job.kind: job for job in rows}


def _create_began_at(of: Transaction, create: Job) -> datetime | None:
    """Return the latest time at which a create may have begun, None if none has.

    A lost run counts as begun at the end of its lease, a job that was given up as begun at its end.
    """
    given_up = create.updated_at if create.state == JobState.FAILED else None
    return max((at for at in (of.create_began_at, create.lost_at, given_up) if at is not None), default=None)


def _requeue(context: ActionContext, transaction_id: UUID, *jobs: Job) -> list[Wake]:
    """Run these jobs of a transaction again. Remove its flag `given_up` if no failed job is left.

    The flag of a given-up notification stays until the client has confirmed it.
    """
    wakes = []
    for job in jobs:
        # A failed create had runs without a result: one of them may have reached the provider.
        doubtful = job.kind == "create" and job.state == JobState.FAILED
        wakes.append(_claimable(requeue(job_id=job.pk, was=job.state, doubtful=doubtful)))
    if any(job.kind in AT_PROVIDER for job in jobs):
        withdraw_given_up(transaction_id, Source.STAFF, who=context.by.get_username(), why=context.reason)
    return wakes


def _claimable(wake: Wake | None) -> Wake:
    """Return the wake of a changed job; raise Refused if there is none, because a worker has claimed the job."""
    if wake is None:
        raise Refused(CLAIMED)
    return wake
