"""The page of a transaction: what was asked, where it stands, all that happened, and what comes next."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from transactions.admin import words
from transactions.admin.filters import ClientFilter, ProviderFilter, ReviewFilter
from transactions.admin.search import HELP, known_as
from transactions.models import Event, Transaction
from transactions.staff import Retry, judge
from transactions.status import FINAL
from workers.admin.bases import FactsAdmin, exact, moment
from workers.models import Attempt, Job

MOST_EVENTS, MOST_JOBS, MOST_CALLS = 200, 50, 20


@admin.register(Transaction)
class TransactionAdmin(FactsAdmin):
    list_display = ("client_ref", moment("created_at"), "client", "provider", "money", "status", "submission",
                    "flag", "is_told")  # fmt: skip
    list_filter = ("status", "submission", ReviewFilter, ProviderFilter, ClientFilter)
    search_fields = ("id",)
    search_help_text = HELP
    fieldsets = (
        (None, {"fields": ("client_ref", "id", "client", "provider", "money", "reference", "metadata",
                           moment("created_at"))}),
        ("Where it stands", {"fields": ("status_in_words", "submission_in_words", "review_in_words", "failure",
                                        moment("create_began_at"), moment("finalised_at"))}),
        ("What the client knows", {"fields": ("sequence", "told", moment("informed_at", "confirmed"))}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transaction]:
        # The headers would be decrypted for each row.
        rows: QuerySet[Transaction] = super().get_queryset(request)
        return rows.select_related("client", "provider").defer("provider__headers")

    def known_as(self, term: str) -> Q:
        return Q(pk__in=known_as(term))

    def about(self, request: HttpRequest, obj: Transaction) -> dict[str, Any]:
        jobs = jobs_of(obj.pk)
        return {
            "next_step": words.next_step(obj, jobs, timezone.now()),
            "timeline": timeline(obj),
            "jobs": [
                {
                    "job": job,
                    "run_at": exact(job.run_at),
                    "calls": calls(job.last_calls),
                    "retry": judge(job, obj) is Retry.DONE,
                }
                for job in jobs
            ],
            "may_retry": request.user.has_perm("workers.retry_job"),
        }

    @admin.display(description="minor units")
    def money(self, it: Transaction) -> str:
        return f"{it.amount} {it.currency}"

    @admin.display(description="status")
    def status_in_words(self, it: Transaction) -> str:
        return words.state(it.status, words.STATUS)

    @admin.display(description="submission")
    def submission_in_words(self, it: Transaction) -> str:
        return words.state(it.submission, words.SUBMISSION)

    @admin.display(description="review", empty_value="")
    def flag(self, it: Transaction) -> str:
        return it.review

    @admin.display(description="review")
    def review_in_words(self, it: Transaction) -> str:
        return words.review(it.review)

    @admin.display(description="failure")
    def failure(self, it: Transaction) -> str:
        return f"{it.failure_code}: {it.failure_detail}" if it.failure_code else "-"

    @admin.display(description="informed")
    def told(self, it: Transaction) -> str:
        return words.informed(it)

    @admin.display(description="told", boolean=True)
    def is_told(self, it: Transaction) -> bool | None:
        told = it.informed_sequence >= it.sequence
        return told or (False if it.status in FINAL else None)


def timeline(of: Transaction) -> list[dict[str, Any]]:
    """Its events in their order; the newest ones, should there ever be more than fit."""
    newest = Event.objects.filter(transaction=of).order_by("-id")[:MOST_EVENTS]
    return [
        {
            "at": exact(event.at),
            "what": words.event(event),
            "sequence": event.sequence,
            "source": event.get_source_display(),
            "details": words.details(event),
        }
        for event in reversed(newest)
    ]


def jobs_of(transaction_id: UUID) -> list[Any]:
    """Its jobs in the order in which they were written, each with its last calls in `last_calls`, newest first."""
    last = Prefetch("attempts", Attempt.objects.order_by("-id")[:MOST_CALLS], to_attr="last_calls")
    newest = Job.objects.filter(transaction_id=transaction_id).order_by("-id")[:MOST_JOBS].prefetch_related(last)
    return list(reversed(newest))


def calls(newest: Sequence[Attempt]) -> list[dict[str, Any]]:
    """Calls in their order, given with the newest first."""
    return [{"at": exact(call.started_at), "call": call} for call in reversed(newest)]
