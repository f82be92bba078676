"""Filters of the lists: few values each, and none is gathered from a big table."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from transactions.models import Client, Provider
from transactions.status import Review
from workers.admin import as_number

MOST_NAMES = 50
"""Names that a filter offers. For the others there is a link on the client's or provider's own page."""


class _NamedFilter(SimpleListFilter):
    """By a client or provider. Only names are read: loading providers would decrypt their headers."""

    model: type[Model]
    name: str
    """The model's field that tells its rows apart."""
    field: str
    """The list's field that refers to it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = self.model._default_manager.order_by(self.name).values_list("pk", self.name)[:MOST_NAMES]
        return [(str(key), name) for key, name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(Q((self.field, as_number(chosen)))) if chosen else queryset


class ProviderFilter(_NamedFilter):
    title, parameter_name, model, name, field = "provider", "provider", Provider, "slug", "provider"


class ClientFilter(_NamedFilter):
    title, parameter_name, model, name, field = "client", "client", Client, "name", "client"


class ReviewFilter(SimpleListFilter):
    """Served by an index of its own, as an operator's day begins with it."""

    title, parameter_name = "review", "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("any", "for any reason"), *Review.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "any":
            return queryset.filter(~Q(review=""))
        return queryset.filter(review=self.value()) if self.value() else queryset
