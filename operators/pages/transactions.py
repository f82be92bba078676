"""List of transactions, and the page of one: request, state, timeline, jobs and next step."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from operators.actions.outcomes import open_proposal
from operators.pages import labels as words
from operators.pages.actions import ActingAdmin, buttons
from operators.pages.base import column, moment, pill, short
from operators.pages.lists import FoundAdmin, list_filters
from operators.pages.timeline import timeline
from operators.search import HELP
from transactions.models import Transaction
from workers.models import Job

MOST_JOBS = 50


@admin.register(Transaction)
class TransactionAdmin(ActingAdmin, FoundAdmin):
    list_display = (
        column("client's id", lambda it: short(it.client_ref, 32)), moment("created_at"), "client", "provider",
        column("minor units", lambda it: f"{it.amount} {it.currency}"), column("status", lambda it: pill(it.status)),
        column("review", lambda it: pill(it.review, "bad") if it.review else "", empty=""),
        column("notified", lambda it: pill(*words.notified(it))),
    )  # fmt: skip
    joined = ("client", "provider")
    unread = ("provider__headers",)
    list_filter = list_filters(Transaction)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ()  # shown by the template

    def about(self, request: HttpRequest, obj: Transaction) -> dict[str, Any]:
        jobs = list(reversed(Job.objects.filter(transaction_id=obj.pk).order_by("-id")[:MOST_JOBS]))
        return super().about(request, obj) | {
            "pills": [pill(obj.status), pill(f"submission: {obj.submission}"), pill(*words.notified(obj))],
            "review": words.review(obj.review),
            "status": words.STATUS[obj.status],
            "submission": words.SUBMISSION[obj.submission],
            "informed": words.informed(obj),
            "took": (obj.finalised_at - obj.created_at).total_seconds() if obj.finalised_at else None,
            "next_step": words.next_step(obj, jobs, timezone.now()),
            "timeline": timeline(obj),
            "jobs": [(job, pill(job.state), buttons(request, job)) for job in jobs],
            "proposal": open_proposal(obj),
        }
