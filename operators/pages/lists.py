"""Lists with the filters and the search of `operators.search`, saved lists, CSV export and bulk actions."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from operators import search as finding
from operators.pages import exports
from operators.pages import saved_views as saved
from operators.pages.base import FactsAdmin
from operators.pages.bulk import list_actions
from transactions.models import Transaction


class _ListFilter(SimpleListFilter):
    """A filter of `operators.search` in the form that Django's admin expects."""

    means: finding.Filter

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.means.choices())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.means.means(value, timezone.now())) if (value := self.value()) else queryset


def list_filters(model: type[Model]) -> tuple[type[SimpleListFilter], ...]:
    """Return one class for each filter of this list."""
    return tuple(
        type(f"{each.name}_filter", (_ListFilter,), {"title": each.name, "parameter_name": each.name, "means": each})
        for each in finding.filters_of(model)
    )


class FoundAdmin(FactsAdmin):
    """List that only the parameters of `operators.search` narrow, so that exports and bulk runs match it."""

    narrow = "Choose an age or another filter."
    list_before_template = "admin/relay/list_head.html"

    def find_ids(self, term: str) -> Q:
        return finding.FILTERS[self.model]["q"].means(term, timezone.now())

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in finding.FILTERS[self.model]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return list_actions(request, self.model)

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("export/", view(partial(exports.export, page=self)), name=f"{name}_export"),
            path("views/", view(partial(saved.save, page=self)), name=f"{name}_save_view"),
            path("views/<int:pk>/delete/", view(partial(saved.delete, page=self)), name=f"{name}_delete_view"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        head = {
            "query": urlencode(saved.params_of(request.GET)),
            "views": saved.views_of(request, self.model),
            "may_share": request.user.has_perm(saved.SHARE),
            "may_export": self.model in exports.COLUMNS and request.user.has_perm(exports.PERMISSION),
        }
        return super().changelist_view(request, (extra_context or {}) | {"head": head})


def with_clients_id(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Add the `client_ref` of the transaction that each row refers to; the subquery runs for the page's rows only."""
    named = Transaction.objects.order_by().filter(pk=OuterRef("transaction_id"))
    found: QuerySet[Any] = rows.annotate(client_ref=Subquery(named.values("client_ref")))
    return found
