"""What staff may do to the jobs at the provider, and never so that a transaction is created twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField
from django.db.models.expressions import Func
from django.db.models.functions import Greatest

from transactions.models import Transaction
from transactions.reviews import withdraw_given_up
from transactions.staff.acting import Press, Refused, transaction_of
from transactions.status import FINAL, Source, Submission
from transactions.waiting import held_up
from workers.figures import span
from workers.models import Attempt, Job, JobState
from workers.registry import Wake
from workers.staff import cancel, hasten, revive

AT_PROVIDER = ("create", "track")
"""Kinds of jobs that a final status makes needless, and that flag the transaction when they are given up."""
OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
NOT_FAILED = "it is not failed"
FINAL_ALREADY = "its transaction is final: nothing is left to do"
CREATED_ALREADY = "the provider has the transaction already: it must not be created again"
CLAIMED = "a worker has just taken it up: try again in a moment"


def judge_retry(job: Job) -> str:
    """Only a failed job, and only for what is still to be done."""
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


def explain_retry(job: Job) -> str:
    of = transaction_of(job)
    if of is None:
        return "It runs again."
    does = {
        "create": f"It looks for the transaction at {of.provider}. If it is not there, it creates it, but not before "
        f"{of.provider.settle_window:g} s have passed since this job failed: until then an earlier create may still "
        "take effect",
        "track": f"It polls {of.provider}, with growing delays, until the status is final",
        "notify": f"It tells {of.client} the status as it is now ({of.status}), until the endpoint confirms it",
    }
    does_it = does.get(job.kind, "It runs again")
    return f"It was given up: {job.last_error}. {does_it}{held_up(of, job.kind)}. Its schedule starts anew, at once."


def retry(job: Job, press: Press) -> Sequence[Wake]:
    """Try a failed job again, from the start of its schedule.

    A final status that comes right after it leaves the job to find, when its turn comes, that nothing is left to do.
    """
    press.note(f"retried the job {job.kind}", job=job.pk, error=job.last_error)
    wake = _revive(job)
    if job.kind in AT_PROVIDER:
        _nobody_need_look(press, job.transaction_id)
    return [wake]


def judge_poll_now(of: Transaction) -> str:
    if of.status in FINAL:
        return f"it is {of.status}: there is nothing left to find out"
    if of.submission == Submission.UNSENT:
        return "no create has begun, as far as is recorded: there is nothing to poll for"
    jobs = at_provider(of)
    create, track = jobs["create"], jobs["track"]
    if create.state == JobState.RUNNING:
        return "a create is under way: its answer tells, and polling goes on when it ends"
    if track.state == JobState.RUNNING:
        return "a poll is under way"
    if track.state == JobState.WAITING and track.run_at <= track.now:
        return f"a poll is due already{held_up(of, 'track')}"
    return ""


def explain_poll_now(of: Transaction) -> str:
    over = at_provider(of)["track"].state in OVER
    after = "it is tracked again, with delays that grow anew" if over else "the next poll comes after the usual delay"
    return f"{of.provider} is asked for the status now{held_up(of, 'track')}. Unless that is final, {after}."


def poll_now(of: Transaction, press: Press) -> Sequence[Wake]:
    """Poll at once; what is tracked no longer is taken up again."""
    track = at_provider(of)["track"]
    press.note("asked for a poll now", was=track.state)
    if track.state == JobState.WAITING:
        wake = hasten(job_id=track.pk)
        if wake is None:
            raise Refused(CLAIMED)
        return [wake]
    wake = _revive(track)
    _nobody_need_look(press, of.pk)
    return [wake]


def judge_cancel_tracking(of: Transaction) -> str:
    if of.status in FINAL:
        return f"it is {of.status}: nothing polls for it any more"
    track = at_provider(of)["track"]
    if track.state in OVER:
        return "nothing polls for it any more"
    return "a poll is under way: try again in a moment" if track.state == JobState.RUNNING else ""


def explain_cancel_tracking(of: Transaction) -> str:
    return (
        f"{of.provider} is not polled for this transaction any more, and nobody is reminded of it, until somebody "
        "polls by hand. It stays pending; a webhook still counts. A create that waits is not stopped: to stop that as "
        "well, set the status by hand."
    )


def cancel_tracking(of: Transaction, press: Press) -> Sequence[Wake]:
    """End the polling. A create is left alone: stopping it is a decision on the outcome, which `set_status` takes."""
    press.note("cancelled the tracking")
    if not cancel(job_id=at_provider(of)["track"].pk, why="cancelled by staff"):
        raise Refused(CLAIMED)
    return []


def judge_create_again(of: Transaction) -> str:
    """Only where no create can still take effect, and nothing says that the provider has it.

    The create itself looks first, and waits for the settle window by its own rule, so what is judged wrongly here (the
    times of calls are of the workers' clocks) creates nothing twice.
    """
    if of.status in FINAL:
        return f"it is {of.status}: nothing is left to create"
    if of.submission == Submission.REFUSED:
        return f"{of.provider} has refused it"
    create = at_provider(of)["create"]
    if create.state == JobState.RUNNING:
        return "a create is under way"
    if create.state == JobState.WAITING:
        due = (create.run_at - create.now).total_seconds()
        return f"a create waits already: it runs {f'in {span(due)}' if due > 0 else 'now'}{held_up(of, 'create')}"
    return _unsettled(of, create) or _still_there(of, create.now)


def _unsettled(of: Transaction, create: Any) -> str:
    """Whether a create may still take effect, or it was seen at the provider only just now."""
    window = timedelta(seconds=of.provider.settle_window)
    since = {"a create began {} ago and may take effect": _create_began_at(of, create)}
    since["it was seen at its provider {} ago, which counts"] = of.seen_at
    for said, at in since.items():
        if at is not None and create.now < at + window:
            ago, left = (span(abs((create.now - time).total_seconds())) for time in (at, at + window))
            return f"{said.format(ago)} for another {left}"
    return ""


def _still_there(of: Transaction, now: datetime) -> str:
    """Whether the provider has it, for all that is known: of one that was created, the newest look must say no."""
    if of.submission != Submission.CREATED:
        return ""
    looks = Attempt.objects.filter(transaction_id=of.pk, method="GET").order_by("-started_at")
    began, answer = looks.values_list("started_at", "http_status").first() or (None, None)
    if began is None or (of.seen_at is not None and began < of.seen_at):
        return f"{of.provider} has it, as it said itself, and was not asked since: poll now, and look at the answer"
    ago = span((now - began).total_seconds())
    if answer is None:
        return f"{of.provider} has it, as it said itself: the newest poll, {ago} ago, brought no answer"
    return "" if answer == 404 else f"{of.provider} may have it: the newest poll, {ago} ago, was answered {answer}"


def explain_create_again(of: Transaction) -> str:
    return (
        f"It is looked for at {of.provider}{held_up(of, 'create')}. Found: that counts, and nothing is created. Not "
        f"found: it is created, under the same id ({of.pk}), and tracked."
    )


def create_again(of: Transaction, press: Press) -> Sequence[Wake]:
    """Take the create up again, with all its retries; and the polling, should that have ended.

    What the provider was last seen with counts as a create that began then, so that the create's own rule covers it: it
    creates only after a look that began a settle window later has not found it.
    """
    jobs = at_provider(of)
    press.note("asked for the transaction to be created again", submission=of.submission)
    if of.submission == Submission.CREATED:
        began = Greatest("create_began_at", "seen_at")  # of the two that there are: PostgreSQL leaves out what is null
        Transaction.objects.filter(pk=of.pk).update(submission=Submission.UNKNOWN, create_began_at=began)
    wakes = [_revive(job) for job in jobs.values() if job.state in OVER]
    _nobody_need_look(press, of.pk)
    return wakes


def at_provider(of: Transaction) -> dict[str, Any]:
    """Its jobs at the provider by kind, each with the database's time in `now`."""
    now = Func(function="clock_timestamp", output_field=DateTimeField())
    rows = Job.objects.filter(transaction_id=of.pk, kind__in=AT_PROVIDER).annotate(now=now)
    return {job.kind: job for job in rows}


def _create_began_at(of: Transaction, create: Job) -> datetime | None:
    """When its last create began, or may have begun at the latest: a run that was lost counts to its lease's end, and
    one that was given up to its job's end."""
    given_up = create.updated_at if create.state == JobState.FAILED else None
    return max((at for at in (of.create_began_at, create.lost_at, given_up) if at is not None), default=None)


def _revive(job: Job) -> Wake:
    # A create is given up only when its runs ended without a result: one of them may have reached the provider.
    wake = revive(job_id=job.pk, was=job.state, doubtful=job.kind == "create" and job.state == JobState.FAILED)
    if wake is None:
        raise Refused(CLAIMED)
    return wake


def _nobody_need_look(press: Press, transaction_id: UUID) -> None:
    withdraw_given_up(transaction_id, Source.STAFF, who=press.by.get_username(), why=press.reason)
