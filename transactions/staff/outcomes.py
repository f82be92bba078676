"""What staff may do about an outcome: set it, have a second person approve it, say that they have looked, tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.conf import settings
from django.db.models.functions import Now

from transactions.models import Proposal, Transaction
from transactions.news import News, apply
from transactions.reviews import withdraw
from transactions.services import send_again, waiting_news
from transactions.staff.acting import Press, Refused
from transactions.status import FINAL, Review, Source, Status, Submission
from transactions.waiting import held_up
from workers.models import Job, JobState
from workers.registry import Wake

MOVED = "its status has changed since then: look at it again"
OWN = "nobody approves what they have proposed themselves"
AT_PROVIDER = {
    Submission.UNSENT: "No create has begun, as far as is recorded, and none will.",
    Submission.UNKNOWN: "A create went unanswered: {} may have it, now or later, and nothing is undone there.",
    Submission.CREATED: "Nothing is changed at {}, which has it.",
    Submission.REFUSED: "It is not at {}.",
}


class StatusForm(forms.Form):
    status = forms.ChoiceField(label="New status")
    sequence = forms.IntegerField(widget=forms.HiddenInput)
    """The transaction's when the page was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = [(status.value, status.label) for status in FINAL if status != self.initial.get("status")]
        cast(forms.ChoiceField, self.fields["status"]).choices = [("", "Choose one"), *others]


def judge_set_status(of: Transaction) -> str:
    if open_proposal(of):
        return "a status is proposed already, and waits to be approved or rejected"
    return _settable(of)


def _settable(of: Transaction) -> str:
    if of.status in FINAL and of.review != Review.CONTRADICTION:
        return f"it is {of.status}, and nothing contradicts that"
    return ""


def explain_set_status(of: Transaction) -> str:
    second = "Somebody else must approve it: nothing changes until then. " if two_needed() else ""
    return second + _what_it_means(of)


def two_needed() -> bool:
    return bool(settings.STATUS_BY_HAND_NEEDS_TWO != "off")


def _what_it_means(of: Transaction) -> str:
    return (
        f"The status becomes final, in place of {of.status}. Jobs that wait for this transaction are cancelled, and "
        f"{of.client} is told of the status, not of your reason{held_up(of, 'notify')}. "
        f"{AT_PROVIDER[_known(of)].format(of.provider)} What {of.provider} says later, and is something "
        "else, is flagged as a contradiction."
    )


def _known(of: Transaction) -> Submission:
    """What is known of the provider's copy; of a create whose worker was lost only its job knows."""
    lost = Job.objects.filter(transaction_id=of.pk, kind="create", lost_at__isnull=False)
    known = Submission(of.submission)
    return Submission.UNKNOWN if known == Submission.UNSENT and lost.exists() else known


def set_status(of: Transaction, press: Press) -> Sequence[Wake]:
    """Set a final status by hand, or propose it where two are needed. `given`: `status`, and the `sequence` that was
    seen."""
    status = Status(press.given["status"])
    if of.sequence != press.given["sequence"]:
        raise Refused(MOVED)
    if not two_needed():
        return _set(of, status, press, f"set the status to {status}")
    _may_become(of, status)
    press.note(f"proposed the status {status}")
    Proposal.objects.create(transaction=of, status=status, sequence=of.sequence, reason=press.reason, by=press.by)
    return []


def _may_become(of: Transaction, status: Status) -> None:
    if status not in FINAL or status == of.status:
        raise Refused(f"{status} is not another final status")


def _set(of: Transaction, status: Status, press: Press, what: str, **detail: Any) -> Sequence[Wake]:
    """Through the one door for news. What a create under way may still bring about is waited for; one that waits cannot
    begin meanwhile."""
    _may_become(of, status)
    create = Job.objects.select_for_update(no_key=True).filter(transaction_id=of.pk, kind="create").first()
    if create is not None and create.state == JobState.RUNNING:
        raise Refused("a create is under way: try again in a moment")
    press.note(what, was=of.status, **detail)
    code = "" if status == Status.COMPLETED else "set_by_staff"
    told = "an operator has set the status" if code else ""
    news = News(Source.STAFF, status=status, failure_code=code, failure_detail=told)
    [applied], wakes = apply([(of.pk, news)])
    if not applied.won:
        raise Refused(MOVED)
    return wakes


def open_proposal(of: Transaction) -> Proposal | None:
    return Proposal.objects.select_related("by").filter(transaction=of, decision="").first()


def judge_approve(of: Transaction) -> str:
    proposal = open_proposal(of)
    if proposal is None:
        return "no status is proposed"
    return MOVED if proposal.sequence != of.sequence else _settable(of)


def explain_approve(of: Transaction) -> str:
    proposal = open_proposal(of)
    said = f"{proposal.by} proposes {proposal.status}: {proposal.reason}. " if proposal else ""
    return said + _what_it_means(of)


def approve(of: Transaction, press: Press) -> Sequence[Wake]:
    """Set what another has proposed."""
    proposal = _decide(of, press, Proposal.Decision.APPROVED)
    what = f"approved the status {proposal.status}, proposed by {proposal.by}"
    return _set(of, Status(proposal.status), press, what, proposal=proposal.pk)


def judge_reject(of: Transaction) -> str:
    return "" if open_proposal(of) else "no status is proposed"


def explain_reject(of: Transaction) -> str:
    proposal = open_proposal(of)
    return f"The proposal of {proposal.by} ({proposal.status}) is dropped. Nothing else changes." if proposal else ""


def reject(of: Transaction, press: Press) -> Sequence[Wake]:
    proposal = _decide(of, press, Proposal.Decision.REJECTED)
    press.note(f"rejected the status {proposal.status}, proposed by {proposal.by}", proposal=proposal.pk)
    return []


def _decide(of: Transaction, press: Press, decision: Proposal.Decision) -> Proposal:
    proposal = open_proposal(of)
    if proposal is None:
        raise Refused("no status is proposed")
    if decision == Proposal.Decision.APPROVED and proposal.by_id == press.by.pk:
        raise Refused(OWN)
    decided = {"decision": decision, "decided_by": press.by, "decided_at": Now()}
    Proposal.objects.filter(pk=proposal.pk).update(**decided)
    return proposal


def judge_resolve_review(of: Transaction) -> str:
    return "" if of.review else "nobody is asked to look at it"


def explain_resolve_review(of: Transaction) -> str:
    again = {
        Review.OVERDUE: " The next poll that finds no final status flags it again, unless tracking is cancelled.",
        Review.UNMAPPED: " The next such word flags it again, unless status_map has it.",
    }
    return f"The flag {of.review} is taken back; nothing else changes.{again.get(Review(of.review), '')}"


def resolve_review(of: Transaction, press: Press) -> Sequence[Wake]:
    press.note("resolved the review")
    withdraw(of.pk, of.review, Source.STAFF, who=press.by.get_username(), why=press.reason)
    return []


def judge_notify_again(of: Transaction) -> str:
    due = waiting_news(of).filter(run_at__lte=Now()).exists()
    return f"its news is due already{held_up(of, 'notify')}" if due else ""


def explain_notify_again(of: Transaction) -> str:
    return (
        f"{of.client} is told the status as it is ({of.status}), now{held_up(of, 'notify')}, until its endpoint "
        "confirms it. A client drops what it has seen by its sequence."
    )


def notify_again(of: Transaction, press: Press) -> Sequence[Wake]:
    press.note("asked for the client to be told again")
    return [send_again(of)]
