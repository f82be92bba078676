"""Actions on outcomes: set a status, approve or reject a proposed one, resolve a review, notify the client again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.db.models.functions import Now

from operators.actions.action import ActionContext, Steps, action, obstacle
from operators.audit import Refused
from operators.models import Proposal
from providers.status import FINAL, Status
from transactions.models import Transaction
from transactions.notifications import schedule_notification, waiting_notifications
from transactions.observations import Observation
from transactions.reviews import withdraw
from transactions.status import Review, Source, Submission
from transactions.store import apply
from workers.models import Job, JobState
from workers.outcomes import Wake

MOVED = "the status has changed meanwhile: check the transaction, then try again"
NOT_PROPOSED = "no status is proposed"
OWN = "you cannot approve your own proposal"
PROVIDER_COPY = {
    Submission.UNSENT: "It is not sent yet, and will not be sent.",
    Submission.UNKNOWN: "A create got no answer: {} may have the transaction now or later. Nothing is cancelled there.",
    Submission.CREATED: "{} has the transaction, and nothing is changed there.",
    Submission.REFUSED: "{} does not have the transaction.",
}


class StatusForm(forms.Form):
    status = forms.ChoiceField(label="New status")
    sequence = forms.IntegerField(widget=forms.HiddenInput)
    """The transaction's sequence when the form was made. `seen` guards against changes by staff; this guards against a
    status that the provider has changed, which is not in the audit log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = [(status.value, status.label) for status in FINAL if status != self.initial.get("status")]
        cast(forms.ChoiceField, self.fields["status"]).choices = [("", "Choose a status"), *others]


@action(Transaction, "Set status", form=StatusForm)
def set_status(of: Transaction) -> Steps:
    """Set a final status by hand, or propose it if a second person must approve.

    `given` has the `status`, and the `sequence` of the transaction when the form was made.
    """
    if open_proposal(of):
        raise Refused("a proposed status is waiting for approval: approve or reject it first")
    two_needed = settings.STATUS_BY_HAND_NEEDS_TWO != "off"
    second = "Another person must approve it; nothing changes until then. " if two_needed else ""
    context = yield second + _what_it_means(of)
    status = Status(context.given["status"])
    if of.sequence != context.given["sequence"]:
        raise Refused(MOVED)
    if status not in FINAL or status == of.status:
        raise Refused(f"{status} is not a different final status: choose another one")
    if not two_needed:
        return _set(of, status, context, f"set the status to {status}")
    context.note(f"proposed the status {status}")
    Proposal.objects.create(transaction=of, status=status, sequence=of.sequence, reason=context.reason, by=context.by)
    return []


def _what_it_means(of: Transaction) -> str:
    """Return what a status set by hand changes. Raises Refused if the status cannot be set by hand."""
    if of.status in FINAL and of.review != Review.CONTRADICTION:
        raise Refused(f"the status is final ({of.status}), and nothing contradicts it")
    return (
        f"The final status replaces {of.status}. Waiting jobs of this transaction are cancelled, and {of.client} is "
        f"notified of the status, without your reason{obstacle(of, 'notify')}. "
        f"{PROVIDER_COPY[_known(of)].format(of.provider)} If {of.provider} reports another final status later, the "
        "transaction is flagged as a contradiction."
    )


def _known(of: Transaction) -> Submission:
    """Return the submission; unknown if the worker of a create was lost, which only the job records."""
    lost = Job.objects.filter(transaction_id=of.pk, kind="create", lost_at__isnull=False)
    known = Submission(of.submission)
    return Submission.UNKNOWN if known == Submission.UNSENT and lost.exists() else known


def _set(of: Transaction, status: Status, context: ActionContext, what: str, **detail: Any) -> Iterable[Wake]:
    """Apply the status by `apply()`; refuse while a create is running. The lock keeps a waiting create waiting."""
    create = Job.objects.select_for_update(no_key=True).filter(transaction_id=of.pk, kind="create").first()
    if create is not None and create.state == JobState.RUNNING:
        raise Refused("a create is running: try again in a moment")
    context.note(what, was=of.status, **detail)
    code = "" if status == Status.COMPLETED else "set_by_staff"
    explanation = "an operator has set the status" if code else ""
    observation = Observation(Source.STAFF, status=status, failure_code=code, failure_detail=explanation)
    [applied], wakes = apply([(of.pk, observation)])
    if not applied.won:
        raise Refused(MOVED)
    return wakes


def open_proposal(of: Transaction) -> Proposal | None:
    return Proposal.objects.select_related("by").filter(transaction=of, decision="").first()


@action(Transaction, "Approve status", silent=True)
def approve_status(of: Transaction) -> Steps:
    """Set the status that another person has proposed."""
    if (proposal := open_proposal(of)) is None:
        raise Refused(NOT_PROPOSED)
    if proposal.sequence != of.sequence:
        raise Refused(MOVED)
    context = yield f"{proposal.by} proposes {proposal.status}: {proposal.reason}. {_what_it_means(of)}"
    if proposal.by_id == context.by.pk:
        raise Refused(OWN)
    _decide(proposal, context, Proposal.Decision.APPROVED)
    what = f"approved the status {proposal.status}, proposed by {proposal.by}"
    return _set(of, Status(proposal.status), context, what, proposal=proposal.pk)


@action(Transaction, "Reject status", permission="transactions.approve_status", silent=True)
def reject_status(of: Transaction) -> Steps:
    """Close a proposal without a change of the status."""
    if (proposal := open_proposal(of)) is None:
        raise Refused(NOT_PROPOSED)
    context = yield f"The proposal by {proposal.by} ({proposal.status}) is rejected. Nothing else changes."
    _decide(proposal, context, Proposal.Decision.REJECTED)
    context.note(f"rejected the status {proposal.status}, proposed by {proposal.by}", proposal=proposal.pk)
    return []


def _decide(proposal: Proposal, context: ActionContext, decision: Proposal.Decision) -> None:
    decided = {"decision": decision, "decided_by": context.by, "decided_at": Now()}
    Proposal.objects.filter(pk=proposal.pk).update(**decided)


@action(Transaction, "Resolve review", bulk=True, silent=True)
def resolve_review(of: Transaction) -> Steps:
    if not of.review:
        raise Refused("it is not flagged for review")
    again = {
        Review.OVERDUE: " The next poll without a final status flags it again, unless tracking is cancelled.",
        Review.UNMAPPED: " The next status that is not in status_map flags it again.",
        Review.UNREADABLE: " The next status check whose answer has no status flags it again.",
        Review.MISSING: " The next status check that does not find it flags it again.",
        Review.DENIED: " The next answer 403 flags it again.",
        Review.STALLED: " It is flagged again unless a call succeeds first.",
    }
    context = yield f"The flag {of.review} is removed. Nothing else changes.{again.get(Review(of.review), '')}"
    context.note("resolved the review")
    withdraw(of.pk, of.review, Source.STAFF, who=context.by.get_username(), why=context.reason)
    return []


@action(Transaction, "Notify again", reason=False, bulk=True)
def notify_again(of: Transaction) -> Steps:
    if waiting_notifications(of).filter(run_at__lte=Now()).exists():
        raise Refused(f"a notification is due already{obstacle(of, 'notify')}")
    context = yield (
        f"We send {of.client} the current status ({of.status}) now{obstacle(of, 'notify')}, and retry until its "
        "endpoint confirms it. The client can recognize a repeated notification by its sequence."
    )
    context.note("requested another notification of the client")
    return [schedule_notification(of)]
