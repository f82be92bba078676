"""List of jobs, and the page of one with its latest calls."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from operators.pages.actions import ActingAdmin
from operators.pages.base import column, moment, pill, short
from operators.pages.lists import PartAdmin, list_filters
from operators.search import HELP
from workers.models import Job, OutboundCall

MOST_CALLS = 20


@admin.register(Job)
class JobAdmin(ActingAdmin, PartAdmin):
    list_display = (
        "id", column("job", lambda job: f"{job.kind} {job.key}".strip()), column("state", lambda job: pill(job.state)),
        "transaction", moment("run_at", "due"), "claim_count",
        column("last error", lambda job: short(job.last_error, 80)),
    )  # fmt: skip
    list_filter = list_filters(Job)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ("id", "transaction", "transaction_id", "kind", "key", "lane", "state", moment("run_at", "due"),
              "claim_count", "tries", "crashes", moment("lease_until"), moment("lost_at"), "last_error",
              moment("created_at"), moment("updated_at"))  # fmt: skip

    def about(self, request: HttpRequest, obj: Job) -> dict[str, Any]:
        newest = reversed(OutboundCall.objects.filter(job=obj).order_by("-id")[:MOST_CALLS])
        return super().about(request, obj) | {"calls": list(newest)}
