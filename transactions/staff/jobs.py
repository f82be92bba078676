"""What staff may do to jobs, and to what they do at the provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transactions.models import Event, Transaction
from transactions.staff.acting import Press, Refused, transaction_of
from transactions.status import FINAL, Review, Source, Submission
from workers.models import Job, JobState
from workers.registry import Wake
from workers.staff import revive

AT_PROVIDER = ("create", "track")
"""Kinds of jobs that a final status makes needless, and that flag the transaction when they are given up."""
NOT_FAILED = "it is not failed"
FINAL_ALREADY = "its transaction is final: nothing is left to do"
CREATED_ALREADY = "the provider has the transaction already: it must not be created again"


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


def retry(job: Job, press: Press) -> Sequence[Wake]:
    """Try a failed job again, from the start of its schedule.

    A final status that comes right after it leaves the job to find, when its turn comes, that nothing is left to do.
    """
    assert press.of is not None  # noqa: S101  for the type checker: a job's transaction is locked with it
    press.note(f"retried the job {job.kind}", job=job.pk, error=job.last_error)
    # A create is given up only when its runs ended without a result: one of them may have reached the provider.
    wake = revive(job_id=job.pk, doubtful=job.kind == "create")
    if wake is None:
        raise Refused(NOT_FAILED)
    if job.kind in AT_PROVIDER:
        withdraw_given_up(press.of, {"who": press.by.get_username(), "why": press.reason})
    return [wake]


def withdraw_given_up(of: Transaction, told: dict[str, Any]) -> None:
    """The transaction needs nobody's look any more, unless its other job at the provider is given up, too."""
    if of.review != Review.GIVEN_UP:
        return
    if Job.objects.filter(transaction_id=of.pk, kind__in=AT_PROVIDER, state=JobState.FAILED).exists():
        return
    Transaction.objects.filter(pk=of.pk).update(review="")
    detail = told | {"review": "", "was": Review.GIVEN_UP}
    Event.objects.create(transaction=of, kind=Event.Kind.REVIEW, source=Source.STAFF, detail=detail)
