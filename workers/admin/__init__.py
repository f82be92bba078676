"""The admin pages of what works: calls and processes. Jobs are shown by the app that knows what they are about."""

from typing import Any
from uuid import UUID

import django_dramatiq.admin  # noqa: F401  registers what is taken back below
from django.contrib import admin
from django.db.models import Q
from django_dramatiq.models import Task

from workers.admin.bases import FactsAdmin, link, moment
from workers.models import Attempt, WorkerProcess

# Its table stays empty, as its middleware is not used, and would mislead: the jobs are ours.
admin.site.unregister(Task)

BIGGEST = 2**63 - 1


@admin.register(Attempt)
class AttemptAdmin(FactsAdmin):
    ordering = ("-id",)
    list_display = ("call", moment("started_at"), "duration_ms", "http_status", "error", "job_link", "number")
    search_fields = ("job",)
    search_help_text = "The job's number, or our id of the transaction"
    fields = ("job_link", "transaction_id", "number", moment("started_at"), "duration_ms", "method", "url",
              "http_status", "error", "excerpt")  # fmt: skip

    def known_as(self, term: str) -> Q:
        return Q(transaction_id=as_uuid(term)) if as_uuid(term) else Q(job=as_number(term))

    @admin.display(description="call")
    def call(self, attempt: Attempt) -> str:
        return f"{attempt.method} {attempt.url}".strip() or "none that is known of"

    @admin.display(description="job")
    def job_link(self, attempt: Attempt) -> Any:
        return link("workers_job", attempt.job_id, attempt.job_id)


@admin.register(WorkerProcess)
class WorkerProcessAdmin(FactsAdmin):
    list_display = ("host", "pid", "queues", "in_flight", moment("started_at"), moment("beat_at", "last sign of life"))
    fields = ("id", *list_display)


def as_uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def as_number(term: str) -> int | None:
    """The number of a row; None when it is none that a row could have."""
    number = int(term) if term.isascii() and term.isdecimal() and len(term) < 20 else 0
    return number if 0 < number <= BIGGEST else None
