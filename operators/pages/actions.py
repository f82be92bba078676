"""Buttons and confirmation pages of the actions that staff can run on a row, generated from the table of actions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from operators.actions.action import Action, transaction_of
from operators.actions.table import ACTIONS
from operators.audit import newest_entry
from operators.pages.base import PageAdmin, change_url, show, staff


class SeenForm(forms.Form):
    seen = forms.IntegerField(widget=forms.HiddenInput)
    """The newest audit-log entry when the form was made, so that a second submission is refused."""


class ReasonForm(SeenForm):
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextareaWidget({"rows": 3}), help_text="Recorded with your name"
    )


class ActingAdmin(PageAdmin):
    """Pages of a model on whose rows staff can run actions."""

    def views(self) -> list[Any]:
        return [("<str:key>/do/<slug:action>/", "do", self.do_view), *super().views()]

    def do_view(self, request: HttpRequest, key: str, action: str) -> HttpResponse:
        """GET explains the action and asks for confirmation; POST runs it."""
        found = ACTIONS.get(action)
        if found is None or found.on is not self.model:
            raise Http404
        if not (request.user.has_perm(found.permission) and self.has_view_permission(request)):
            raise PermissionDenied
        if (row := self.get_object(request, key)) is None:
            raise Http404
        form = _form(found, row, request)
        if form.is_valid():  # it has data on a POST only
            why_not = found.run(pk=row.pk, by=staff(request), **form.cleaned_data)
            text = f"Nothing was done: {why_not}." if why_not else f"Done: {found.label.lower()}."
            self.message_user(request, text, messages.WARNING if why_not else messages.SUCCESS)
            of = transaction_of(row) if request.user.has_perm("transactions.view_transaction") else None
            return HttpResponseRedirect(change_url(of or row))
        why_not = found.blocked_reason(row)
        title, submit = f"{found.label}: {row}", "" if why_not else found.label
        says = [f"Not possible now: {why_not}." if why_not else found.explain(row)]
        return show(self, request, "ask", of=row, title=title, says=says, form=form, submit=submit)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {"actions": buttons(request, obj)}


def buttons(request: HttpRequest, row: Any) -> list[dict[str, str]]:
    """Return the actions that this user may run on the row: label, URL, and why it is not possible now, if so."""
    found = []
    for action in ACTIONS.values():
        if isinstance(row, action.on) and request.user.has_perm(action.permission):
            why_not = action.blocked_reason(row)
            if not (why_not and action.silent):
                found.append({"label": action.label, "url": do_url(action, row), "why_not": why_not})
    return sorted(found, key=lambda button: bool(button["why_not"]))


def do_url(action: Action, row: Any) -> str:
    """Return the URL of the confirmation page."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_do", args=[row.pk, action.name])


def _form(action: Action, row: Any, request: HttpRequest) -> forms.Form:
    bases = (ReasonForm,) if action.form is None else (ReasonForm, action.form)
    initial = {"seen": newest_entry(transaction_of(row) or row)}
    initial |= {name: getattr(row, name) for name in getattr(action.form, "base_fields", ())}
    form: forms.Form = type("ActionForm", bases, {})(request.POST or None, initial=initial)
    form.fields["reason"].required = action.reason
    for field in form.fields.values():
        if isinstance(field, forms.ChoiceField):
            field.widget = UnfoldAdminSelectWidget(choices=field.choices)
    return form
