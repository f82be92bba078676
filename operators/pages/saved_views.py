"""Saved lists: the filters of a list under a name."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from operators import search as finding
from operators.models import LONGEST, SavedView
from operators.pages.base import ModelAdmin
from operators.pages.confirm import staff

SHARE = "operators.share_view"
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


def views_of(request: HttpRequest, model: Any) -> list[SavedView]:
    """Return the user's own saved lists and the shared ones."""
    visible = SavedView.objects.filter(Q(by=staff(request)) | Q(shared=True), of=model._meta.label_lower)
    return list(visible.select_related("by"))


@require_POST
def save(request: HttpRequest, *, page: ModelAdmin) -> HttpResponse:
    """Save the list of the address under a name; it replaces the user's own saved list of that name."""
    if not page.has_view_permission(request):
        raise PermissionDenied
    params = params_of(request.GET)
    finding.rows(page.model, params)  # raises UnknownFilter
    form, query = SaveForm(request.POST), urlencode(params)
    if form.is_valid() and len(query) <= LONGEST:
        name, shared = form.cleaned_data["name"], form.cleaned_data["shared"]
        if shared and not request.user.has_perm(SHARE):
            raise PermissionDenied
        which = {"by": staff(request), "of": page.model._meta.label_lower, "name": name}
        SavedView.objects.update_or_create(**which, defaults={"query": query, "shared": shared})
        page.message_user(request, f"Saved as “{name}”.", messages.SUCCESS)
    else:
        page.message_user(request, "Not saved: enter a name of at most 60 characters.", messages.ERROR)
    return HttpResponseRedirect(list_url(page, query))


@require_POST
def delete(request: HttpRequest, pk: int, *, page: ModelAdmin) -> HttpResponse:
    """Delete one of the user's own saved lists."""
    view = get_object_or_404(SavedView, pk=pk, by=staff(request), of=page.model._meta.label_lower)
    view.delete()
    page.message_user(request, f"Deleted “{view.name}”.", messages.SUCCESS)
    return HttpResponseRedirect(list_url(page, view.query))
