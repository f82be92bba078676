"""Admin pages of calls and worker processes. The pages of jobs belong to the app that knows their domain."""

from typing import Any

import django_dramatiq.admin  # noqa: F401  registers Task, which is unregistered below
from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_dramatiq.models import Task

from operators.pages.base import FactsAdmin, link, moment, pill
from workers.foundation.formatting import span
from workers.foundation.ids import as_number, as_uuid
from workers.models import OutboundCall, WorkerProcess
from workers.statistics import SILENCE

# Its table stays empty, because its middleware is not used.
admin.site.unregister(Task)


@admin.register(OutboundCall)
class AttemptAdmin(FactsAdmin):
    ordering = ("-id",)
    list_display = ("call", moment("started_at"), "duration_ms", "http_status", "error", "job_link", "attempt")
    search_fields = ("job",)
    search_help_text = "A job number, or our id of the transaction"
    fields = ("job_link", "transaction_id", "attempt", moment("started_at"), "duration_ms", "method", "url",
              "http_status", "error", "excerpt")  # fmt: skip

    def find_ids(self, term: str) -> Q:
        return Q(transaction_id=as_uuid(term)) if as_uuid(term) else Q(job=as_number(term))

    @admin.display(description="call")
    def call(self, call: OutboundCall) -> str:
        return f"{call.method} {call.url}".strip() or "not recorded"

    @admin.display(description="job")
    def job_link(self, call: OutboundCall) -> Any:
        return link("workers_job", call.job_id, call.job_id)


@admin.register(WorkerProcess)
class WorkerProcessAdmin(FactsAdmin):
    """Health of the worker processes: heartbeat, running jobs and version."""

    list_display = ("process", "state", "running_version", "its_queues", "in_flight", moment("started_at"),
                    moment("beat_at", "last heartbeat"))  # fmt: skip
    fields = ("id", *list_display)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkerProcess]:
        rows: QuerySet[WorkerProcess] = super().get_queryset(request)
        return rows.annotate(silence=SILENCE)

    @admin.display(description="process")
    def process(self, one: WorkerProcess) -> str:
        return str(one)

    @admin.display(description="state")
    def state(self, one: Any) -> SafeString:
        silence = one.silence.total_seconds()
        return pill("alive", "ok") if silence < one.SILENT_AFTER else pill(f"no heartbeat for {span(silence)}", "bad")

    @admin.display(description="queues")
    def its_queues(self, one: WorkerProcess) -> str:
        return one.queues.replace(",", ", ")

    @admin.display(description="version")
    def running_version(self, one: WorkerProcess) -> str:
        version = one.version or "unknown"
        return version if one.version == settings.VERSION else pill(f"{version} (web: {settings.VERSION})", "warn")
