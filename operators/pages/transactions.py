"""List of transactions, and the page of one: request, state, timeline, jobs and next step."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.actions.action import obstacle
from operators.actions.outcomes import open_proposal
from operators.pages.actions import ActingAdmin, buttons
from operators.pages.base import column, moment, pill, short
from operators.pages.lists import FoundAdmin, list_filters
from operators.pages.timeline import review_text, timeline
from operators.search import HELP
from providers.status import FINAL, Status
from transactions.models import Transaction
from transactions.status import Submission
from workers.foundation.formatting import span
from workers.models import Job, JobState

MOST_JOBS = 50
MOST_OF_REASON = 60
"""Limit in characters on the reason of a review in the list."""
STATUS: dict[str, str] = {
    Status.PENDING: "no final status yet",
    Status.COMPLETED: "final: completed by the provider",
    Status.DECLINED: "final: declined by the provider",
    Status.FAILED: "final: failed or refused at the provider, or proven absent there",
}
SUBMISSION: dict[str, str] = {
    Submission.UNSENT: "not sent yet",
    Submission.UNKNOWN: "the create got no clear answer; the transaction may exist at the provider",
    Submission.CREATED: "confirmed by the provider",
    Submission.REFUSED: "refused by the provider, or proven absent there",
}
STEP = {
    "create": "check the status at the provider, then create if that is safe",
    "track": "poll the provider",
    "notify": "notify the client",
}


def confirmed_status(transaction: Transaction) -> str:
    """Return which status the client has confirmed."""
    if transaction.notified_sequence >= transaction.sequence:
        return f"yes, status {transaction.status}"
    return "only of an earlier status" if transaction.notified_sequence else "no"


def notified(transaction: Transaction) -> tuple[str, str]:
    """Return whether the client has confirmed the current status, and the tone of that."""
    if transaction.notified_sequence >= transaction.sequence:
        return "notified", "ok"
    return "not notified", "warn" if transaction.status in FINAL else ""


def _review(transaction: Transaction) -> SafeString | str:
    """Return the review flag and its reason; empty without a flag."""
    if not transaction.review:
        return ""
    return format_html("{} {}", pill(transaction.review, "bad"), short(transaction.review_why, MOST_OF_REASON))


def next_step(transaction: Transaction, jobs: list[Job], now: datetime) -> str:
    """Return the next step, its due time and what delays it; empty if no job is open."""
    if running := [job for job in jobs if job.state == JobState.RUNNING]:
        return f"{STEP.get(running[0].kind, running[0].kind)}: running"
    waiting = [job for job in jobs if job.state == JobState.WAITING]
    if not waiting:
        return ""
    job = min(waiting, key=lambda job: job.run_at)
    seconds = (job.run_at - now).total_seconds()
    due = f"in {span(seconds)}" if seconds > 0 else "now"
    return f"{STEP.get(job.kind, job.kind)}, {due}{obstacle(transaction, job.kind)}"


@admin.register(Transaction)
class TransactionAdmin(ActingAdmin, FoundAdmin):
    list_display = (
        column("client's id", lambda it: short(it.client_ref, 32)), moment("created_at"), "client", "provider",
        column("minor units", lambda it: f"{it.amount} {it.currency}"), column("status", lambda it: pill(it.status)),
        column("review", _review, name="review", empty=""),
        column("notified", lambda it: pill(*notified(it))),
    )  # fmt: skip
    joined = ("client", "provider")
    list_filter = list_filters(Transaction)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ()  # shown by the template

    def about(self, request: HttpRequest, obj: Transaction) -> dict[str, Any]:
        jobs = list(reversed(Job.objects.filter(transaction_id=obj.pk).order_by("-id")[:MOST_JOBS]))
        return super().about(request, obj) | {
            "pills": [pill(obj.status), pill(f"submission: {obj.submission}"), pill(*notified(obj))],
            "review": review_text(obj.review),
            "status": STATUS[obj.status],
            "submission": SUBMISSION[obj.submission],
            "confirmed_status": confirmed_status(obj),
            "took": (obj.finalised_at - obj.created_at).total_seconds() if obj.finalised_at else None,
            "next_step": next_step(obj, jobs, timezone.now()),
            "timeline": timeline(obj),
            "jobs": [(job, pill(job.state), buttons(request, job)) for job in jobs],
            "proposal": open_proposal(obj),
        }
