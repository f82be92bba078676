"""The pages of jobs, and what staff may do to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from transactions.admin.acting import ActingAdmin
from transactions.admin.search import HELP, known_as, with_clients_id
from transactions.admin.transactions import MOST_CALLS, calls
from workers import registry
from workers.admin import as_number
from workers.admin.bases import FactsAdmin, link, moment
from workers.models import Attempt, Job


class KindFilter(admin.SimpleListFilter):
    title, parameter_name = "kind", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.name, kind.name) for kind in registry.kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Job)
class JobAdmin(ActingAdmin, FactsAdmin):
    list_display = ("id", "what", "state", "transaction", moment("run_at", "due"), "attempt", "last_error")
    list_filter = ("state", KindFilter)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ("id", "transaction", "transaction_id", "kind", "key", "lane", "state", moment("run_at", "due"),
              "attempt", "step", "crashes", moment("lease_until"), moment("lost_at"), "last_error",
              moment("created_at"), moment("updated_at"))  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return with_clients_id(super().get_queryset(request))

    def known_as(self, term: str) -> Q:
        return Q(pk=as_number(term)) | Q(transaction_id__in=known_as(term))

    @admin.display(description="job")
    def what(self, job: Job) -> str:
        return f"{job.kind} {job.key}".strip()

    @admin.display(description="transaction")
    def transaction(self, job: Any) -> Any:
        return link("transactions_transaction", job.transaction_id, job.client_ref)

    def about(self, request: HttpRequest, obj: Job) -> dict[str, Any]:
        newest = list(Attempt.objects.filter(job=obj).order_by("-id")[:MOST_CALLS])
        return super().about(request, obj) | {"calls": calls(newest)}
