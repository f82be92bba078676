"""List of transactions, and the page of one: request, state, timeline, jobs and next step."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from operators.actions.outcomes import open_proposal
from operators.pages import labels as words
from operators.pages.actions import ActingAdmin, buttons
from operators.pages.base import exact, moment, pill, short
from operators.pages.lists import FoundAdmin, list_filters
from operators.pages.timeline import timeline
from operators.search import HELP
from providers.status import Status
from transactions.models import Transaction
from transactions.status import Submission
from workers.foundation.formatting import span
from workers.models import Job, JobState

MOST_JOBS = 50


@admin.register(Transaction)
class TransactionAdmin(ActingAdmin, FoundAdmin):
    list_display = ("name", moment("created_at"), "client", "provider", "money", "outcome", "flag",
                    "is_notified")  # fmt: skip
    list_filter = list_filters(Transaction)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ()  # shown by the template

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transaction]:
        # Loading the headers would decrypt them for each row.
        rows: QuerySet[Transaction] = super().get_queryset(request)
        return rows.select_related("client", "provider").defer("provider__headers")

    def about(self, request: HttpRequest, obj: Transaction) -> dict[str, Any]:
        jobs = jobs_of(obj.pk)
        return super().about(request, obj) | {
            "facts": facts(obj),
            "next_step": words.next_step(obj, jobs, timezone.now()),
            "timeline": timeline(obj),
            "jobs": [
                {
                    "job": job,
                    "state": pill(job.state, words.JOB_TONE.get(JobState(job.state), "")),
                    "run_at": exact(job.run_at),
                    "actions": buttons(request, job),
                }
                for job in jobs
            ],
            "proposal": open_proposal(obj),
        }

    @admin.display(description="client's id")
    def name(self, it: Transaction) -> SafeString | str:
        return short(it.client_ref, 32)

    @admin.display(description="minor units")
    def money(self, it: Transaction) -> str:
        return f"{it.amount} {it.currency}"

    @admin.display(description="status")
    def outcome(self, it: Transaction) -> SafeString:
        return pill(it.status, words.STATUS_TONE[Status(it.status)])

    @admin.display(description="review", empty_value="")
    def flag(self, it: Transaction) -> SafeString | str:
        return pill(it.review, "bad") if it.review else ""

    @admin.display(description="notified")
    def is_notified(self, it: Transaction) -> SafeString | str:
        return pill(*words.notified(it))


def facts(it: Transaction) -> dict[str, Any]:
    """Return the facts that the page shows, as text."""
    took = (it.finalised_at - it.created_at).total_seconds() if it.finalised_at else 0.0
    return {
        "status": pill(it.status, words.STATUS_TONE[Status(it.status)]),
        "submission": pill(f"submission: {it.submission}"),
        "notified": pill(*words.notified(it)),
        "review": words.review(it.review),
        "status_in_words": f"{it.status} ({words.STATUS[Status(it.status)]})",
        "submission_in_words": f"{it.submission} ({words.SUBMISSION[Submission(it.submission)]})",
        "informed": words.informed(it),
        "took": span(took),
        **{name: exact(getattr(it, name)) for name in ("created_at", "create_began_at", "finalised_at", "notified_at")},
    }


def jobs_of(transaction_id: UUID) -> list[Job]:
    """Return the newest jobs of a transaction, oldest first."""
    return list(reversed(Job.objects.filter(transaction_id=transaction_id).order_by("-id")[:MOST_JOBS]))
