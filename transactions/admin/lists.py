"""The lists: filters and search as `transactions.finding` means them; saved, exported, and acted upon as a whole."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone

from transactions import finding
from transactions.admin import exports, saved
from transactions.admin.bulk import list_actions
from transactions.admin.pages import staff
from transactions.finding.export import COLUMNS
from transactions.models import Transaction
from workers.admin.bases import FactsAdmin


class _ListFilter(SimpleListFilter):
    """Offers a filter's choices; which rows each means is said there."""

    means: finding.Filter

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.means.choices())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(self.means.means(value, timezone.now())) if value else queryset


def list_filters(model: type[Model]) -> tuple[type[SimpleListFilter], ...]:
    """A class for each filter of this list."""
    return tuple(
        type(f"{each.name}_filter", (_ListFilter,), {"title": each.name, "parameter_name": each.name, "means": each})
        for each in finding.filters_of(model)
    )


class FoundAdmin(FactsAdmin):
    """A list whose search and filters are those of `transactions.finding`: no other parameter narrows it down, so that
    what is exported or acted upon is what is shown."""

    narrow = "Choose an age, or one more filter."
    list_before_template = "admin/relay/list_head.html"

    def known_as(self, term: str) -> Q:
        return finding.condition(self.model, "q", term, timezone.now())

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in {each.name for each in finding.filters_of(self.model)}

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return list_actions(request, self.model)

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("export/", view(self.export_view), name=f"{name}_export"),
            path("views/", view(partial(saved.save, self)), name=f"{name}_save_view"),
            path("views/<int:pk>/delete/", view(partial(saved.delete, self)), name=f"{name}_delete_view"),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        if self.model not in COLUMNS:
            raise Http404
        return exports.export(self, request, saved.params_of(request.GET))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        head = {
            "query": urlencode(saved.params_of(request.GET)),
            "views": saved.views_of(staff(request), self.model),
            "may_share": request.user.has_perm(saved.SHARE),
            "may_export": self.model in COLUMNS and request.user.has_perm(exports.PERMISSION),
        }
        return super().changelist_view(request, (extra_context or {}) | {"head": head})


def with_clients_id(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Rows that name a transaction, with the client's id of it in `client_ref`; looked up for the page's rows only."""
    named = Transaction.objects.order_by().filter(pk=OuterRef("transaction_id"))
    found: QuerySet[Any] = rows.annotate(client_ref=Subquery(named.values("client_ref")))
    return found
