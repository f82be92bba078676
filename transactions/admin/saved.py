"""Lists that people come back to: saved with their filters under a name."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse

from transactions import finding
from transactions.admin.pages import staff
from transactions.models import SavedView
from transactions.models.views import LONGEST
from workers.admin.bases import ModelAdmin

SHARE = "transactions.share_view"
_OF_THE_PAGE = {*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG} - {SEARCH_VAR}
"""Parameters that say how rows are shown, and not which."""


class SaveForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = SavedView
        fields = ("name", "shared")


def params_of(query: QueryDict) -> dict[str, str]:
    """The parameters of a list in its address that say which rows are meant."""
    given = {name: str(query[name]).strip() for name in query if name not in _OF_THE_PAGE}
    return {name: value for name, value in given.items() if value}


def list_url(page: ModelAdmin, query: str) -> str:
    return f"{reverse(f'admin:{page.opts.app_label}_{page.opts.model_name}_changelist')}?{query}"


def views_of(user: User, model: Any) -> list[SavedView]:
    """Their own, and those that others share."""
    of = SavedView.objects.filter(of=model._meta.label_lower).select_related("by")
    return list(of.filter(Q(by=user) | Q(shared=True)))


def save(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    """POST saves the list that the address means, in the place of the person's own one of that name."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not page.has_view_permission(request):
        raise PermissionDenied
    form, query = SaveForm(request.POST), urlencode(params_of(request.GET))
    if not form.is_valid() or len(query) > LONGEST:
        page.message_user(request, "Not saved: give it a name of at most 60 characters.", messages.ERROR)
        return HttpResponseRedirect(list_url(page, query))
    name, shared = form.cleaned_data["name"], form.cleaned_data["shared"]
    if shared and not request.user.has_perm(SHARE):
        raise PermissionDenied
    try:
        finding.rows(page.model, params_of(request.GET))
    except finding.UnknownFilter as error:
        raise BadRequest(str(error)) from error
    which = {"by": staff(request), "of": page.model._meta.label_lower, "name": name}
    SavedView.objects.update_or_create(**which, defaults={"query": query, "shared": shared})
    page.message_user(request, f"Saved as “{name}”.", messages.SUCCESS)
    return HttpResponseRedirect(list_url(page, query))


def delete(page: ModelAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """POST deletes a list of the person's own."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    view = get_object_or_404(SavedView, pk=pk, by=staff(request), of=page.model._meta.label_lower)
    view.delete()
    page.message_user(request, f"“{view.name}” is deleted.", messages.SUCCESS)
    return HttpResponseRedirect(list_url(page, view.query))
