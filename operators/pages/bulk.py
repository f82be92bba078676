"""Pages of bulk runs: the confirmation page, the progress and results, and the stop button."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from operators import search as finding
from operators.actions import bulk
from operators.actions.action import Action
from operators.actions.table import ACTIONS
from operators.models import BulkRun, BulkState
from operators.pages.actions import ReasonForm
from operators.pages.base import FactsAdmin, change_url, moment, pill
from operators.pages.confirm import ask, staff
from operators.pages.saved_views import list_url, params_of
from workers.foundation.formatting import MOST, at_most
from workers.models import Job

CHOSEN = "chosen"
"""The URL parameter with the keys of the chosen rows, separated by commas."""
SHOWN = 3
TONE = {BulkState.DONE: "ok", BulkState.FAILED: "bad", BulkState.STOPPED: "warn"}


class StartForm(ReasonForm):
    seen = None  # type: ignore[assignment]  # for a single row only
    token = forms.UUIDField(widget=forms.HiddenInput)
    """Identifies the form, so that submitting it twice starts one run."""


def list_actions(request: HttpRequest, model: Any) -> dict[str, tuple[Callable[..., HttpResponse], str, str]]:
    """Return the bulk actions that this user may run on a list, in the form that Django's lists expect."""
    return {
        name: (partial(_to_confirmation, name), name, f"{action.label} …")
        for name, action in ACTIONS.items()
        if action.bulk and action.on is model and request.user.has_perm(action.permission)
    }


def _to_confirmation(action: str, page: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
    params = params_of(request.GET)
    if request.POST.get("select_across") != "1":
        params = {CHOSEN: ",".join(request.POST.getlist(ACTION_CHECKBOX_NAME))}
    return HttpResponseRedirect(f"{reverse('admin:operators_bulkrun_start', args=[action])}?{urlencode(params)}")


@admin.register(BulkRun)
class BulkRunAdmin(FactsAdmin):
    list_display = ("pk", "label", "by", moment("created_at", "started"), "outcome", "progress")
    list_select_related = ("by",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("start/<slug:action>/", view(self.start_view), name="operators_bulkrun_start"),
            path("<int:pk>/progress/", view(self.progress_view), name="operators_bulkrun_progress"),
            path("<int:pk>/stop/", view(require_POST(self.stop_view)), name="operators_bulkrun_stop"),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest, action: str) -> HttpResponse:
        """GET describes the run and asks for confirmation; POST starts it."""
        does = ACTIONS.get(action)
        if does is None or not does.bulk:
            raise Http404
        page = self.admin_site.get_model_admin(does.on)
        if not (request.user.has_perm(does.permission) and page.has_view_permission(request)):
            raise PermissionDenied
        params = params_of(request.GET)
        params.pop(CHOSEN, None)
        chosen = request.GET[CHOSEN].split(",") if CHOSEN in request.GET else None
        rows = _rows(does, params, chosen)
        back = list_url(page, urlencode(params))
        form = StartForm(request.POST or None, initial={"token": uuid4()})
        form.fields["reason"].required = does.reason
        if form.is_valid():
            run = bulk.start(action=action, by=staff(request), params=params, chosen=chosen, **form.cleaned_data)
            return HttpResponseRedirect(change_url(run) if self.has_view_permission(request) else back)
        many, says = _describe(does, page, request, rows, _which(page.opts.verbose_name_plural, params, chosen))
        return ask(page, request, form, title=f"{does.label}: {many}", says=says, submit="Start", back=back)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that is replaced while the run is active."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return render(request, "admin/relay/bulk_progress.html", self.about(request, get_object_or_404(BulkRun, pk=pk)))

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        run = get_object_or_404(BulkRun, pk=pk)
        if not self._may_stop(request, run):
            raise PermissionDenied
        stopped = bulk.stop(pk=pk, by=staff(request))
        self.message_user(request, "The run is stopped." if stopped else "The run has already ended.")
        return HttpResponseRedirect(change_url(run))

    def _may_stop(self, request: HttpRequest, run: BulkRun) -> bool:
        """Anyone with the permission for the run's action may stop it."""
        permission = ACTIONS[run.action].permission if run.action in ACTIONS else ""
        return self.has_view_permission(request, run) and request.user.has_perm(permission)

    def about(self, request: HttpRequest, obj: BulkRun) -> dict[str, Any]:
        on = ACTIONS[obj.action].on._meta if obj.action in ACTIONS else None
        rows = on.verbose_name_plural if on else "rows"
        return super().about(request, obj) | {
            "run": obj,
            "label": self.label(obj),
            "state": self.outcome(obj),
            "progress": self.progress(obj),
            "rows": rows,
            "which": _which(rows, obj.params, obj.chosen),
            "row_page": f"admin:{on.app_label}_{on.model_name}_change" if on else "",
            "may_stop": self._may_stop(request, obj),
            "duration": ((obj.finished_at or timezone.now()) - obj.created_at).total_seconds(),
        }

    @admin.display(description="action")
    def label(self, run: BulkRun) -> str:
        return ACTIONS[run.action].label if run.action in ACTIONS else run.action

    @admin.display(description="state")
    def outcome(self, run: BulkRun) -> SafeString:
        return pill(run.state, TONE.get(BulkState(run.state), ""))

    @admin.display(description="rows")
    def progress(self, run: BulkRun) -> str:
        return f"{run.tried:,}" if run.total is None else f"{run.tried:,} of {run.total:,}"


def _which(rows: Any, params: Mapping[str, str], chosen: Sequence[str] | None) -> str:
    """Return the selection in words, such as "all jobs with state failed"."""
    if chosen is not None:
        return f"selected {rows}"
    filters = " and ".join(f"{'search' if name == 'q' else name} {value}" for name, value in params.items())
    return f"all {rows} with {filters}" if filters else f"all {rows}"


def _rows(action: Action, params: Mapping[str, str], chosen: Sequence[str] | None) -> QuerySet[Any]:
    """Return the rows that the URL selects. Raises BadRequest."""
    if "q" in params and len(finding.find_ids(params["q"])) >= finding.MOST:
        raise BadRequest(f"The search returns only the first {finding.MOST:,} transactions: use filters instead.")
    try:
        return bulk.matching(action, params, chosen)
    except (finding.UnknownFilter, ValueError, ValidationError) as error:
        raise BadRequest(str(error)) from error


def _describe(
    action: Action, page: Any, request: HttpRequest, rows: QuerySet[Any], which: str
) -> tuple[str, list[str]]:
    """Return the number of rows, and sentences that explain the run, with a few examples."""
    name, count = page.opts.verbose_name, rows[:MOST].count()
    many = f"{at_most(count, MOST)} {name if count == 1 else page.opts.verbose_name_plural}"
    examples = page.get_queryset(request).filter(pk__in=list(rows.values_list("pk", flat=True)[:SHOWN]))
    effects = [(row, action.blocked_reason(row) or action.explain(row)) for row in examples]
    return many, [
        f"{action.label} {which}: {many}. Rows that start matching during the run are included; rows created after the "
        "start are not.",
        "The action runs in the background, row by row, with the same checks as its button on the row's page. Where a "
        "check fails, the row is left unchanged and the result counts the reason. You can stop the run.",
        *(f"Example: {name} {row.pk if action.on is Job else row}: {effect}" for row, effect in effects),
    ]
