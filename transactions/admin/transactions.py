"""The page of a transaction: what was asked, where it stands, all that happened, and what comes next."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from transactions.admin import words
from transactions.admin.acting import ActingAdmin, buttons
from transactions.admin.lists import FoundAdmin, list_filters
from transactions.admin.timeline import timeline
from transactions.finding import HELP
from transactions.models import Transaction
from transactions.staff.outcomes import open_proposal
from transactions.status import Status
from workers.admin.bases import exact, moment, pill, short
from workers.figures import span
from workers.models import Attempt, Job, JobState

MOST_JOBS, MOST_CALLS = 50, 20


@admin.register(Transaction)
class TransactionAdmin(ActingAdmin, FoundAdmin):
    list_display = ("name", moment("created_at"), "client", "provider", "money", "outcome", "flag",
                    "is_told")  # fmt: skip
    list_filter = list_filters(Transaction)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ()  # its template shows them

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transaction]:
        # The headers would be decrypted for each row.
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

    @admin.display(description="told")
    def is_told(self, it: Transaction) -> SafeString | str:
        return pill(*words.told(it))


def facts(it: Transaction) -> dict[str, Any]:
    """What the page says of it, in words."""
    took = (it.finalised_at - it.created_at).total_seconds() if it.finalised_at else 0.0
    return {
        "status": pill(it.status, words.STATUS_TONE[Status(it.status)]),
        "submission": pill(f"at the provider: {it.submission}"),
        "told": pill(*words.told(it)),
        "review": words.review(it.review),
        "status_in_words": words.state(it.status, words.STATUS),
        "submission_in_words": words.state(it.submission, words.SUBMISSION),
        "informed": words.informed(it),
        "took": span(took),
        **{name: exact(getattr(it, name)) for name in ("created_at", "create_began_at", "finalised_at", "informed_at")},
    }


def jobs_of(transaction_id: UUID) -> list[Job]:
    """Its jobs in the order in which they were written."""
    return list(reversed(Job.objects.filter(transaction_id=transaction_id).order_by("-id")[:MOST_JOBS]))


def calls(newest: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Calls in their order, given with the newest first."""
    return [{"at": exact(call.started_at), "call": call} for call in reversed(newest)]
