"""Pages of bulk runs: the confirmation page, the progress and results, and the stop button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from operators import search as finding
from operators.actions import bulk
from operators.actions.action import Action
from operators.actions.table import ACTIONS
from operators.models import BulkRun
from operators.pages.actions import ReasonForm
from operators.pages.base import FactsAdmin, change_url, column, moment, pill, show, staff
from operators.pages.lists import CHOSEN, list_url, params_of
from workers.foundation.formatting import MOST, at_most
from workers.models import Job

SHOWN = 3


class StartForm(ReasonForm):
    seen = None  # type: ignore[assignment]  # for a single row only
    token = forms.UUIDField(widget=forms.HiddenInput)
    """Identifies the form, so that submitting it twice starts one run."""


def _label(run: BulkRun) -> str:
    return ACTIONS[run.action].label if run.action in ACTIONS else run.action


def _progress(run: BulkRun) -> str:
    return f"{run.tried:,}" if run.total is None else f"{run.tried:,} of {run.total:,}"


@admin.register(BulkRun)
class BulkRunAdmin(FactsAdmin):
    list_display = (
        "pk", column("action", _label), "by", moment("created_at", "started"),
        column("state", lambda run: pill(run.state)), column("rows", _progress),
    )  # fmt: skip
    joined = ("by",)

    def views(self) -> list[Any]:
        return [
            ("start/<slug:action>/", "start", self.start_view),
            ("<int:pk>/progress/", "progress", self.progress_view),
            ("<int:pk>/stop/", "stop", require_POST(self.stop_view)),
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
        title = f"{does.label}: {many}"
        return show(page, request, "ask", title=title, form=form, says=says, submit="Start", back=back)

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
        """Return True if the user may view the run and has the permission for its action."""
        permission = ACTIONS[run.action].permission if run.action in ACTIONS else ""
        return self.has_view_permission(request, run) and request.user.has_perm(permission)

    def about(self, request: HttpRequest, obj: BulkRun) -> dict[str, Any]:
        on = ACTIONS[obj.action].on._meta if obj.action in ACTIONS else None
        rows = on.verbose_name_plural if on else "rows"
        return super().about(request, obj) | {
            "run": obj,
            "label": _label(obj),
            "state": pill(obj.state),
            "progress": _progress(obj),
            "rows": rows,
            "which": _which(rows, obj.params, obj.chosen),
            "row_page": f"admin:{on.app_label}_{on.model_name}_change" if on else "",
            "may_stop": self._may_stop(request, obj),
            "duration": ((obj.finished_at or timezone.now()) - obj.created_at).total_seconds(),
        }


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
