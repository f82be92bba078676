"""List of jobs, and the page of one with its latest calls."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operators.pages.actions import ActingAdmin
from operators.pages.base import exact, link, moment, pill, short
from operators.pages.labels import JOB_TONE
from operators.pages.lists import FoundAdmin, list_filters, with_clients_id
from operators.search import HELP
from workers.models import Job, JobState, OutboundCall

MOST_CALLS = 20


@admin.register(Job)
class JobAdmin(ActingAdmin, FoundAdmin):
    list_display = ("id", "what", "outcome", "transaction", moment("run_at", "due"), "claim_count", "error")
    list_filter = list_filters(Job)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ("id", "transaction", "transaction_id", "kind", "key", "lane", "state", moment("run_at", "due"),
              "claim_count", "tries", "crashes", moment("lease_until"), moment("lost_at"), "last_error",
              moment("created_at"), moment("updated_at"))  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return with_clients_id(super().get_queryset(request))

    @admin.display(description="job")
    def what(self, job: Job) -> str:
        return f"{job.kind} {job.key}".strip()

    @admin.display(description="state")
    def outcome(self, job: Job) -> SafeString:
        return pill(job.state, JOB_TONE.get(JobState(job.state), ""))

    @admin.display(description="transaction")
    def transaction(self, job: Any) -> Any:
        return link("transactions_transaction", job.transaction_id, short(job.client_ref or "", 24))

    @admin.display(description="last error")
    def error(self, job: Job) -> SafeString | str:
        return short(job.last_error, 80)

    def about(self, request: HttpRequest, obj: Job) -> dict[str, Any]:
        newest = reversed(OutboundCall.objects.filter(job=obj).order_by("-id")[:MOST_CALLS])
        calls = [{"at": exact(call.started_at), "call": call} for call in newest]
        return super().about(request, obj) | {"calls": calls}
