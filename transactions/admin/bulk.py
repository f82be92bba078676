"""Bulk runs on the pages: the question before, how far it is, what became of the rows, and the stop button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from transactions import finding
from transactions.admin.acting import ReasonForm
from transactions.admin.pages import ask, staff
from transactions.admin.saved import list_url, params_of
from transactions.models import BulkRun
from transactions.models.bulk import OPEN, BulkState
from transactions.staff import bulk
from transactions.staff.actions import ACTIONS, Action
from workers.admin.bases import FactsAdmin, change_url, exact, link, moment, pill, short
from workers.figures import MOST, at_most, span
from workers.models import Job

CHOSEN = "chosen"
"""The parameter with the rows that were chosen one by one."""
SHOWN = 3
TONE = {BulkState.DONE: "ok", BulkState.FAILED: "bad", BulkState.STOPPED: "warn", BulkState.STOPPING: "warn"}


class StartForm(ReasonForm):
    seen = None  # type: ignore[assignment]  # of one row only
    token = forms.UUIDField(widget=forms.HiddenInput)
    """So that a form that is sent twice is one run."""


def list_actions(request: HttpRequest, model: Any) -> dict[str, tuple[Callable[..., HttpResponse], str, str]]:
    """What this person may do to many rows of a list, as Django's lists want it."""
    found = [each for each in ACTIONS.values() if each.bulk and each.on is model]
    return {
        each.name: (_question(each), each.name, f"{each.label} …")
        for each in found
        if request.user.has_perm(each.permission)
    }


def _question(action: Action) -> Callable[..., HttpResponse]:
    def go(page: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        given = params_of(request.GET)
        if request.POST.get("select_across") != "1":
            given = {CHOSEN: ",".join(request.POST.getlist(ACTION_CHECKBOX_NAME))}
        address = reverse("admin:transactions_bulkrun_start", args=[action.name])
        return HttpResponseRedirect(f"{address}?{urlencode(given)}")

    return go


@admin.register(BulkRun)
class BulkRunAdmin(FactsAdmin):
    list_display = ("pk", "what", "by", moment("created_at", "started"), "outcome", "progress")
    list_select_related = ("by",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("start/<slug:action>/", view(self.start_view), name="transactions_bulkrun_start"),
            path("<int:pk>/progress/", view(self.progress_view), name="transactions_bulkrun_progress"),
            path("<int:pk>/stop/", view(self.stop_view), name="transactions_bulkrun_stop"),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest, action: str) -> HttpResponse:
        """GET says on how many rows what will be done, and asks; POST starts it."""
        does = ACTIONS.get(action)
        if does is None or not does.bulk:
            raise Http404
        page = self.admin_site.get_model_admin(does.on)
        if not (request.user.has_perm(does.permission) and page.has_view_permission(request)):
            raise PermissionDenied
        params = params_of(request.GET)
        if CHOSEN in request.GET and CHOSEN not in params:
            raise BadRequest("No row is chosen. Without any it would be all of them.")
        chosen = params.pop(CHOSEN).split(",") if CHOSEN in params else None
        rows = _rows(does, params, chosen)
        back = list_url(page, urlencode(params))
        form = StartForm(request.POST if request.method == "POST" else None, initial={"token": uuid4()})
        form.fields["reason"].required = does.reason
        if form.is_valid():
            run = bulk.start(action=action, by=staff(request), params=params, chosen=chosen, **form.cleaned_data)
            return HttpResponseRedirect(change_url(run) if self.has_view_permission(request) else back)
        says, many = _says(does, page, request, rows, in_words(params) if chosen is None else "that were chosen")
        return ask(page, request, form, title=f"{does.label}: {many}", says=says, submit="Start", back=back)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What is replaced on the page while it goes on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(BulkRun, pk=pk)
        return render(request, "admin/relay/bulk_progress.html", {"run": told(run, self._may_stop(request, run))})

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = get_object_or_404(BulkRun, pk=pk)
        if not self._may_stop(request, run):
            raise PermissionDenied
        if bulk.stop(pk=pk, by=staff(request)):
            self.message_user(request, "It stops after the rows that are under way.", messages.SUCCESS)
        else:
            self.message_user(request, "It is over, or stops already.", messages.WARNING)
        return HttpResponseRedirect(change_url(run))

    def _may_stop(self, request: HttpRequest, run: BulkRun) -> bool:
        """Whoever may do what it does. It has no other button."""
        permission = ACTIONS[run.action].permission if run.action in ACTIONS else ""
        return self.has_view_permission(request, run) and request.user.has_perm(permission)

    def about(self, request: HttpRequest, obj: BulkRun) -> dict[str, Any]:
        return super().about(request, obj) | {"run": told(obj, self._may_stop(request, obj))}

    @admin.display(description="action")
    def what(self, run: BulkRun) -> str:
        return label(run)

    @admin.display(description="state")
    def outcome(self, run: BulkRun) -> SafeString:
        return pill(run.state, TONE.get(BulkState(run.state), ""))

    @admin.display(description="rows")
    def progress(self, run: BulkRun) -> str:
        return f"{run.tried:,}" if run.total is None else f"{run.tried:,} of {run.total:,}"


def label(run: BulkRun) -> str:
    return ACTIONS[run.action].label if run.action in ACTIONS else run.action


def told(run: BulkRun, may_stop: bool) -> dict[str, Any]:
    """What a run's page says of it, to somebody who may stop it or not."""
    on = ACTIONS[run.action].on if run.action in ACTIONS else None
    page = f"{on._meta.app_label}_{on._meta.model_name}" if on else ""
    took = ((run.finished_at or timezone.now()) - run.created_at).total_seconds()
    return {
        "row": run,
        "label": label(run),
        "state": pill(run.state, TONE.get(BulkState(run.state), "")),
        "open": run.state in OPEN,
        "may_stop": may_stop and run.state in (BulkState.WAITING, BulkState.RUNNING),
        "which": "that were chosen" if run.chosen is not None else in_words(run.params),
        "rows": on._meta.verbose_name_plural if on else "rows",
        "started": exact(run.created_at),
        "finished": exact(run.finished_at),
        "now": exact(timezone.now()),
        "took": span(took),
        "results": [
            {
                "what": why or "done",
                "rows": found["rows"],
                "first": [link(page, key, short(key)) if page else key for key in found["first"]],
            }
            for why, found in run.results.items()
        ],
    }


def in_words(params: dict[str, str]) -> str:
    said = " and ".join(f"{'search' if name == 'q' else name} {value}" for name, value in params.items())
    return f"with {said}" if said else "that there are"


def _rows(action: Action, params: dict[str, str], chosen: list[str] | None) -> QuerySet[Any]:
    """The rows that an address means. Raises BadRequest."""
    try:
        rows = finding.rows(action.on, params)
        keys = [action.on._meta.pk.to_python(key) for key in chosen or ()]
    except (finding.UnknownFilter, forms.ValidationError) as error:
        raise BadRequest(str(error)) from error
    if "q" in params and len(finding.known_as(params["q"])) >= finding.MOST:
        raise BadRequest(f"A search finds {finding.MOST:,} rows at the most, and not always the same: use filters.")
    return rows if chosen is None else rows.filter(pk__in=keys)


def _says(action: Action, page: Any, request: HttpRequest, rows: QuerySet[Any], which: str) -> tuple[list[str], str]:
    """What will happen, and to how many."""
    count = rows[:MOST].count()
    names = page.opts.verbose_name if count == 1 else page.opts.verbose_name_plural
    many = f"{at_most(count, MOST)} {names}"
    first = page.get_queryset(request).filter(pk__in=list(rows.values_list("pk", flat=True)[:SHOWN]))
    said = [(row, action.judge(row) or action.explain(row)) for row in first]
    return [
        f"{action.label}, of all {page.opts.verbose_name_plural} {which}: {many}. One that comes to match while it "
        "runs is done, too; one that arrives later is not.",
        "It is done in the background, to one row after the other, each as by its own button. Where it cannot be done, "
        "nothing happens, and the result says how often and why. It can be stopped.",
        *(f"For example, {page.opts.verbose_name} {row.pk if action.on is Job else row}: {text}" for row, text in said),
    ], many
