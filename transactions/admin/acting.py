"""The buttons of what staff may do to a row, and the page that asks before each, all from the table of actions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from transactions.admin.pages import ask, staff
from transactions.staff.acting import newest_deed, transaction_of
from transactions.staff.actions import ACTIONS, Action
from workers.admin.bases import PageAdmin, change_url


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept on the record, with your name",
    )
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
    """What staff had done when the page was made, so that a second press finds it changed."""


class ActingAdmin(PageAdmin):
    """The pages of a model to whose rows staff may do something."""

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view(self.do_view), f"{self.opts.app_label}_{self.opts.model_name}_do"
        return [path("<str:key>/do/<slug:action>/", view, name=name), *super().get_urls()]

    def do_view(self, request: HttpRequest, key: str, action: str) -> HttpResponse:
        """GET says what will happen, and asks; POST does it."""
        found = ACTIONS.get(action)
        if found is None or found.on is not self.model:
            raise Http404
        if not (request.user.has_perm(found.permission) and self.has_view_permission(request)):
            raise PermissionDenied
        row = self.get_object(request, key)
        if row is None:
            raise Http404
        form = _form(found, row, request)
        if form.is_valid():  # it has data on a POST only
            why_not = found.run(pk=row.pk, by=staff(request), **form.cleaned_data)
            return self._done(request, found, row, why_not)
        why_not = found.judge(row)
        title = f"{found.label}: {row}"
        says = [f"Not now: {why_not}."] if why_not else [found.explain(row)]
        return ask(self, request, form, title=title, of=row, says=says, submit="" if why_not else found.label)

    def _done(self, request: HttpRequest, action: Action, row: Any, why_not: str) -> HttpResponse:
        text = f"Nothing was done: {why_not}." if why_not else f"Done: {action.label.lower()}."
        self.message_user(request, text, messages.WARNING if why_not else messages.SUCCESS)
        of = transaction_of(row) if request.user.has_perm("transactions.view_transaction") else None
        return HttpResponseRedirect(change_url(of or row))

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return super().about(request, obj) | {"actions": buttons(request, obj)}


def buttons(request: HttpRequest, row: Any) -> list[dict[str, str]]:
    """What this person may do to the row: the label, the page that asks, and why not now where that is so."""
    found = []
    for action in ACTIONS.values():
        if isinstance(row, action.on) and request.user.has_perm(action.permission):
            why_not = action.judge(row)
            if not (why_not and action.silent):
                found.append({"label": action.label, "url": do_url(action, row), "why_not": why_not})
    return sorted(found, key=lambda button: bool(button["why_not"]))


def do_url(action: Action, row: Any) -> str:
    """The page that asks before this is done."""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_do", args=[row.pk, action.name])


def _form(action: Action, row: Any, request: HttpRequest) -> forms.Form:
    bases = (ReasonForm,) if action.form is None else (ReasonForm, action.form)
    of = transaction_of(row)
    initial = {"seen": newest_deed(of.pk)} if of is not None else {}
    initial |= {name: getattr(row, name) for name in getattr(action.form, "base_fields", ())}
    form: forms.Form = type("Asked", bases, {})(request.POST if request.method == "POST" else None, initial=initial)
    form.fields["reason"].required = action.reason
    for field in form.fields.values():
        if isinstance(field, forms.ChoiceField):
            field.widget = UnfoldAdminSelectWidget(choices=field.choices)
    return form
