"""The lists: filters and search as `transactions.finding` means them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone

from transactions import finding
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
    """A list whose search and filters are those of `transactions.finding`: no other parameter narrows it down."""

    narrow = "Choose an age, or one more filter."

    def known_as(self, term: str) -> Q:
        return finding.condition(self.model, "q", term, timezone.now())

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in {each.name for each in finding.filters_of(self.model)}


def with_clients_id(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Rows that name a transaction, with the client's id of it in `client_ref`; looked up for the page's rows only."""
    named = Transaction.objects.order_by().filter(pk=OuterRef("transaction_id"))
    found: QuerySet[Any] = rows.annotate(client_ref=Subquery(named.values("client_ref")))
    return found
