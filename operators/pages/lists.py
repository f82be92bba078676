"""Lists with the filters and the search of `operators.search`, saved lists, CSV export and bulk actions."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from operators import search as finding
from operators.actions.table import ACTIONS
from operators.models import LONGEST, SavedView
from operators.pages import exports
from operators.pages.base import FactsAdmin, ModelAdmin, link, short, staff
from transactions.models import Transaction

SHARE = "operators.share_view"
CHOSEN = "chosen"
"""The URL parameter of a bulk run with the keys of the selected rows, separated by commas."""
_OF_THE_PAGE = {*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG} - {SEARCH_VAR}
"""Parameters that do not select rows."""
SaveForm = modelform_factory(SavedView, fields=("name", "shared"))


def params_of(query: QueryDict) -> dict[str, str]:
    """Return the parameters of a list's address that select rows."""
    given = {name: str(query[name]).strip() for name in query if name not in _OF_THE_PAGE}
    return {name: value for name, value in given.items() if value}


def list_url(page: ModelAdmin, query: str) -> str:
    """Return the address of a list with this query string."""
    return f"{reverse(f'admin:{page.opts.app_label}_{page.opts.model_name}_changelist')}?{query}"


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

    def views(self) -> list[Any]:
        return [
            ("export/", "export", require_GET(self.export)),
            ("views/", "save_view", require_POST(self.save_list)),
            ("views/<int:pk>/delete/", "delete_view", require_POST(self.delete_list)),
            *super().views(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        saved = SavedView.objects.filter(Q(by=staff(request)) | Q(shared=True), of=self.opts.label_lower)
        head = {
            "query": urlencode(params_of(request.GET)),
            "views": saved.select_related("by"),
            "may_share": request.user.has_perm(SHARE),
            "may_export": self.model in exports.COLUMNS and request.user.has_perm(exports.PERMISSION),
        }
        return super().changelist_view(request, (extra_context or {}) | {"head": head})

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the bulk actions that this user may run, in the form that Django's lists expect."""
        return {
            name: (partial(_start, name), name, f"{action.label} …")
            for name, action in ACTIONS.items()
            if action.bulk and action.on is self.model and request.user.has_perm(action.permission)
        }

    def export(self, request: HttpRequest) -> HttpResponseBase:
        return exports.export(self, request, params_of(request.GET))

    def save_list(self, request: HttpRequest) -> HttpResponse:
        """Save the list of the address under a name; it replaces the user's own saved list of that name."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        params = params_of(request.GET)
        finding.rows(self.model, params)  # raises UnknownFilter
        form, query = SaveForm(request.POST), urlencode(params)
        if form.is_valid() and len(query) <= LONGEST:
            name, shared = form.cleaned_data["name"], form.cleaned_data["shared"]
            if shared and not request.user.has_perm(SHARE):
                raise PermissionDenied
            which = {"by": staff(request), "of": self.opts.label_lower, "name": name}
            SavedView.objects.update_or_create(**which, defaults={"query": query, "shared": shared})
            self.message_user(request, f"Saved as “{name}”.", messages.SUCCESS)
        else:
            self.message_user(request, "Not saved: enter a name of at most 60 characters.", messages.ERROR)
        return HttpResponseRedirect(list_url(self, query))

    def delete_list(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Delete one of the user's own saved lists."""
        view = get_object_or_404(SavedView, pk=pk, by=staff(request), of=self.opts.label_lower)
        view.delete()
        self.message_user(request, f"Deleted “{view.name}”.", messages.SUCCESS)
        return HttpResponseRedirect(list_url(self, view.query))


def _start(action: str, page: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
    """Redirect from the list to the confirmation page of a bulk run."""
    params = params_of(request.GET)
    if request.POST.get("select_across") != "1":
        params = {CHOSEN: ",".join(request.POST.getlist(ACTION_CHECKBOX_NAME))}
    return HttpResponseRedirect(reverse("admin:operators_bulkrun_start", args=[action], query=params))


class PartAdmin(FoundAdmin):
    """List of rows that belong to a transaction; it shows the `client_ref` of that transaction."""

    def get_queryset(self, request: HttpRequest) -> Any:
        """Add `client_ref`; the subquery runs for the page's rows only."""
        of = Transaction.objects.order_by().filter(pk=OuterRef("transaction_id"))
        return super().get_queryset(request).annotate(client_ref=Subquery(of.values("client_ref")))

    def transaction(self, row: Any) -> Any:
        if row.transaction_id is None:
            return "no match"
        return link("transactions_transaction", row.transaction_id, short(row.client_ref or "", 24))
