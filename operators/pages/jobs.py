"""Pages of jobs, each with its latest calls, of calls, and of worker processes."""

from __future__ import annotations

from typing import Any

import django_dramatiq.admin  # noqa: F401  registers Task, which is unregistered below
from django.conf import settings
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_dramatiq.models import Task

from operators.pages.actions import ActingAdmin
from operators.pages.base import FactsAdmin, column, link, moment, pill, short
from operators.pages.lists import PartAdmin, list_filters
from operators.search import HELP
from workers.foundation.formatting import span
from workers.foundation.ids import as_number, as_uuid
from workers.models import Job, OutboundCall, WorkerProcess
from workers.statistics import SILENCE

# Its table stays empty, because its middleware is not used.
admin.site.unregister(Task)

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


JOB = column("job", lambda call: link("workers_job", call.job_id, call.job_id))


@admin.register(OutboundCall)
class AttemptAdmin(FactsAdmin):
    ordering = ("-id",)
    list_display = (
        column("call", lambda call: f"{call.method} {call.url}".strip() or "not recorded"), moment("started_at"),
        "duration_ms", "http_status", "error", JOB, "attempt",
    )  # fmt: skip
    search_fields = ("job",)
    search_help_text = "A job number, or our id of the transaction"
    fields = (JOB, "transaction_id", "attempt", moment("started_at"), "duration_ms", "method", "url",
              "http_status", "error", "excerpt")  # fmt: skip

    def find_ids(self, term: str) -> Q:
        return Q(transaction_id=as_uuid(term)) if as_uuid(term) else Q(job=as_number(term))


def _state(one: Any) -> SafeString:
    silence = one.silence.total_seconds()
    return pill("alive") if silence < one.SILENT_AFTER else pill(f"no heartbeat for {span(silence)}", "bad")


def _version(one: WorkerProcess) -> str:
    version = one.version or "unknown"
    return version if one.version == settings.VERSION else pill(f"{version} (web: {settings.VERSION})", "warn")


@admin.register(WorkerProcess)
class WorkerProcessAdmin(FactsAdmin):
    """Health of the worker processes: heartbeat, running jobs and version."""

    list_display = (
        column("process", lambda one: str(one)), column("state", _state), column("version", _version),
        column("queues", lambda one: one.queues.replace(",", ", ")), "in_flight", moment("started_at"),
        moment("beat_at", "last heartbeat"),
    )  # fmt: skip
    fields = ("id", *list_display)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(silence=SILENCE)
