"""Actions on jobs that call the provider. None of them can create a transaction twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField
from django.db.models.expressions import Func
from django.db.models.functions import Greatest

from operators.actions.action import ActionContext, action, obstacle, transaction_of
from operators.audit import Refused
from providers.status import FINAL
from transactions.models import Transaction
from transactions.reviews import withdraw_given_up
from transactions.status import Source, Submission
from workers.foundation.formatting import span
from workers.models import Job, JobState, OutboundCall
from workers.operations import cancel, requeue, reschedule
from workers.outcomes import Wake

AT_PROVIDER = ("create", "track")
"""Kinds of jobs that end with a final status, and that flag the transaction when they are given up."""
OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
NOT_FAILED = "the job has not failed"
FINAL_ALREADY = "its transaction is final: nothing is left to do"
CREATED_ALREADY = "the provider has the transaction already: it must not be created again"
CLAIMED = "a worker has just claimed the job: try again in a moment"


def _retry_blocked(job: Job) -> str:
    """Allow only a failed job, and only while its work is still needed."""
    if job.state != JobState.FAILED:
        return NOT_FAILED
    if job.kind not in AT_PROVIDER:
        return ""
    of = transaction_of(job)
    if of is None or of.status in FINAL:
        return FINAL_ALREADY
    if job.kind == "create" and of.submission not in (Submission.UNSENT, Submission.UNKNOWN):
        return CREATED_ALREADY
    return ""


def _explain_retry(job: Job) -> str:
    if (of := transaction_of(job)) is None:
        return "The job runs again."
    steps = {
        "create": f"It checks whether {of.provider} has the transaction. If not, it creates the transaction, but no "
        f"earlier than {of.provider.settle_window:g} s after this job failed: until then an earlier create may still "
        "take effect",
        "track": f"It polls {of.provider}, with increasing delays, until the status is final",
        "notify": f"It sends {of.client} the current status ({of.status}) until the endpoint confirms it",
    }
    step = steps.get(job.kind, "The job runs again")
    return f"It was given up: {job.last_error}. {step}{obstacle(of, job.kind)}. Its retries start over, now."


@action(Job, "Retry", _retry_blocked, _explain_retry, permission="workers.retry_job", bulk=True, silent=True)
def retry(job: Job, context: ActionContext) -> list[Wake]:
    """Run a failed job again, from the start of its schedule.

    If the status becomes final before the job runs, the job finds that nothing is left to do.
    """
    context.note(f"retried the job {job.kind}", error=job.last_error)
    return _requeue(context, job.transaction_id, job)


def _poll_now_blocked(of: Transaction) -> str:
    if of.status in FINAL:
        return f"the status is final ({of.status}): there is nothing to poll for"
    if of.submission == Submission.UNSENT:
        return "it is not sent yet: there is nothing to poll for"
    jobs = at_provider(of)
    create, track = jobs["create"], jobs["track"]
    if create.state == JobState.RUNNING:
        return "a create is running: its response gives the status, otherwise polling continues after it"
    if track.state == JobState.RUNNING:
        return "a poll is running"
    if track.state == JobState.WAITING and track.run_at <= track.now:
        return f"a poll is due already{obstacle(of, 'track')}"
    return ""


def _explain_poll_now(of: Transaction) -> str:
    over = at_provider(of)["track"].state in OVER
    after = "tracking starts over, with increasing delays" if over else "the next poll follows after the usual delay"
    return f"We poll {of.provider} for the status now{obstacle(of, 'track')}. If it is not final, {after}."


@action(Transaction, "Poll now", _poll_now_blocked, _explain_poll_now, reason=False, bulk=True)
def poll_now(of: Transaction, context: ActionContext) -> list[Wake]:
    """Poll now; restart tracking if it has ended."""
    track = at_provider(of)["track"]
    context.note("requested a poll", was=track.state)
    if track.state == JobState.WAITING:
        return [_claimable(reschedule(job_id=track.pk))]
    return _requeue(context, of.pk, track)


def _cancel_tracking_blocked(of: Transaction) -> str:
    if of.status in FINAL:
        return f"the status is final ({of.status}): tracking has ended"
    track = at_provider(of)["track"]
    if track.state in OVER:
        return "tracking has ended already"
    return "a poll is running: try again in a moment" if track.state == JobState.RUNNING else ""


def _explain_cancel_tracking(of: Transaction) -> str:
    return (
        f"We stop polling {of.provider} for this transaction, and it is not flagged as overdue, until staff use Poll "
        "now. It stays pending; a webhook can still make it final. A create that is waiting is not cancelled: to "
        "cancel it too, use Set status."
    )


@action(Transaction, "Cancel tracking", _cancel_tracking_blocked, _explain_cancel_tracking, bulk=True)
def cancel_tracking(of: Transaction, context: ActionContext) -> None:
    """Cancel the polling job. A create is not cancelled: that is a decision on the outcome, see `set_status`."""
    context.note("cancelled the tracking")
    if not cancel(job_id=at_provider(of)["track"].pk, why="cancelled by staff"):
        raise Refused(CLAIMED)


def _create_again_blocked(of: Transaction) -> str:
    """Allow it only if no create can still take effect, and nothing indicates that the provider has the transaction.

    A wrong decision here, by a worker's clock for example, creates nothing twice: the create job itself makes a status
    check first, and waits for the settle window.
    """
    if of.status in FINAL:
        return f"the status is final ({of.status}): there is nothing to create"
    if of.submission == Submission.REFUSED:
        return f"{of.provider} has refused it"
    create = at_provider(of)["create"]
    if create.state == JobState.RUNNING:
        return "a create is running"
    if create.state == JobState.WAITING:
        due = (create.run_at - create.now).total_seconds()
        return f"a create is scheduled: it runs {f'in {span(due)}' if due > 0 else 'now'}{obstacle(of, 'create')}"
    return _unsettled(of, create) or _still_there(of, create.now)


def _unsettled(of: Transaction, create: Any) -> str:
    """Return the reason if a create may still take effect, or if the provider has reported the transaction just now."""
    window = timedelta(seconds=of.provider.settle_window)
    since = {
        "a create began {} ago and may still take effect: try again in {}": _create_began_at(of, create),
        "the provider reported the transaction {} ago: try again in {}": of.seen_at,
    }
    for text, at in since.items():
        if at is not None and create.now < at + window:
            return text.format(*(span(abs((create.now - time).total_seconds())) for time in (at, at + window)))
    return ""


def _still_there(of: Transaction, now: datetime) -> str:
    """Return the reason if the provider may have the transaction: once created, the newest poll must say "absent"."""
    if of.submission != Submission.CREATED:
        return ""
    polls = OutboundCall.objects.filter(transaction_id=of.pk, method="GET").order_by("-started_at")
    began, answer = polls.values_list("started_at", "http_status").first() or (None, None)
    if began is None or (of.seen_at is not None and began < of.seen_at):
        return f"{of.provider} has reported the transaction, and was not polled since: use Poll now first"
    ago = span((now - began).total_seconds())
    if answer is None:
        return f"{of.provider} has reported the transaction, and the newest poll, {ago} ago, got no response"
    return "" if answer == 404 else f"{of.provider} may have it: it answered the newest poll, {ago} ago, with {answer}"


def _explain_create_again(of: Transaction) -> str:
    return (
        f"We check {of.provider} first{obstacle(of, 'create')}. If the transaction exists, nothing is created; "
        f"otherwise it is created with the same id ({of.pk}). Then it is tracked."
    )


@action(Transaction, "Create again", _create_again_blocked, _explain_create_again, bulk=True)
def create_again(of: Transaction, context: ActionContext) -> list[Wake]:
    """Run the create again, with all its retries; restart tracking if it has ended.

    Treat `seen_at` as the start of the last create, so that `settle_window` applies: the job creates only after a
    status check that began that much later has not found the transaction.
    """
    jobs = at_provider(of)
    context.note("requested another create", submission=of.submission)
    if of.submission == Submission.CREATED:
        began = Greatest("create_began_at", "seen_at")  # PostgreSQL ignores nulls
        Transaction.objects.filter(pk=of.pk).update(submission=Submission.UNKNOWN, create_began_at=began)
    return _requeue(context, of.pk, *(job for job in jobs.values() if job.state in OVER))


def at_provider(of: Transaction) -> dict[str, Any]:
    """Return the jobs of `AT_PROVIDER` by kind, each with the database's time as `now`."""
    now = Func(function="clock_timestamp", output_field=DateTimeField())
    rows = Job.objects.filter(transaction_id=of.pk, kind__in=AT_PROVIDER).annotate(now=now)
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
