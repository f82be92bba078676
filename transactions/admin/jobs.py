"""The pages of jobs, and the one thing that staff may do to them: try a failed one again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminTextareaWidget

from transactions.admin.pages import ask, staff
from transactions.admin.search import HELP, known_as, with_clients_id
from transactions.admin.transactions import MOST_CALLS, calls
from transactions.staff.actions import ACTIONS
from workers import registry
from workers.admin import as_number
from workers.admin.bases import FactsAdmin, link, moment
from workers.models import Attempt, Job, JobState

RETRY = ACTIONS["retry"]
AT_ONCE = 500
"""Jobs that one confirmation retries: each is a transaction of its own, and the page waits for all."""


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept on the timeline, with your name",
    )


class KindFilter(admin.SimpleListFilter):
    title, parameter_name = "kind", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.name, kind.name) for kind in registry.kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Job)
class JobAdmin(FactsAdmin):
    list_display = ("id", "what", "state", "transaction", moment("run_at", "due"), "attempt", "last_error")
    list_filter = ("state", KindFilter)
    search_fields = ("id",)
    search_help_text = HELP
    fields = ("id", "transaction", "transaction_id", "kind", "key", "lane", "state", moment("run_at", "due"),
              "attempt", "step", "crashes", moment("lease_until"), moment("lost_at"), "last_error",
              moment("created_at"), moment("updated_at"))  # fmt: skip
    actions = ("retry",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return with_clients_id(super().get_queryset(request))

    def known_as(self, term: str) -> Q:
        return Q(pk=as_number(term)) | Q(transaction_id__in=known_as(term))

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RETRY.permission)

    @admin.display(description="job")
    def what(self, job: Job) -> str:
        return f"{job.kind} {job.key}".strip()

    @admin.display(description="transaction")
    def transaction(self, job: Any) -> Any:
        return link("transactions_transaction", job.transaction_id, job.client_ref)

    @admin.action(description="Retry failed jobs …", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        chosen = list(queryset.filter(state=JobState.FAILED).values_list("pk", flat=True)[: AT_ONCE + 1])
        if not chosen:
            self.message_user(request, "None of these jobs is failed.", messages.WARNING)
            return None
        if len(chosen) > AT_ONCE:
            self.message_user(request, f"Choose at most {AT_ONCE} jobs at a time.", messages.WARNING)
            return None
        return self._ask(request, chosen, ReasonForm())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.retry_view)
        return [path("retry/", view, name="workers_job_retry"), *super().get_urls()]

    def retry_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks for the reason, POST does it; `job` names the jobs, as often as there are any."""
        if not self.has_retry_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        chosen = [number for text in given.getlist("job")[:AT_ONCE] if (number := as_number(text))]
        if not Job.objects.filter(pk__in=chosen).exists():
            raise Http404("no such job")
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._ask(request, chosen, form)
        return self._retry(request, chosen, form.cleaned_data["reason"])

    def _retry(self, request: HttpRequest, chosen: Iterable[int], reason: str) -> HttpResponse:
        jobs = list(Job.objects.filter(pk__in=chosen).order_by("pk"))
        results = Counter(RETRY.run(pk=job.pk, by=staff(request), reason=reason) for job in jobs)
        for why, count in results.items():
            which = f"Job {jobs[0].pk}" if len(jobs) == 1 else f"{count} of {len(jobs)} jobs"
            self.message_user(request, f"{which}: {why or 'retried'}.", messages.WARNING if why else messages.SUCCESS)
        if len(jobs) == 1 and request.user.has_perm("transactions.view_transaction"):
            page = reverse("admin:transactions_transaction_change", args=[jobs[0].transaction_id])
            return HttpResponseRedirect(page)
        return HttpResponseRedirect(reverse("admin:workers_job_changelist"))

    def _ask(self, request: HttpRequest, chosen: list[int], form: ReasonForm) -> HttpResponse:
        jobs = list(Job.objects.filter(pk__in=chosen).order_by("pk"))
        why_not = {job.pk: RETRY.judge(job) for job in jobs}
        some = not all(why_not.values())
        rows = [
            {"job": job, "does": f"Nothing: {why}." if (why := why_not[job.pk]) else RETRY.explain(job)} for job in jobs
        ]
        says = ["Pressing twice has no further effect."] if some else []
        title = "Retry a failed job" if len(jobs) == 1 else f"Retry {len(jobs)} failed jobs"
        about: dict[str, Any] = {"of": jobs[0] if len(jobs) == 1 else None, "says": says, "rows": rows}
        about |= {"submit": "Retry" if some else "", "action": reverse("admin:workers_job_retry")}
        return ask(self, request, form, title=title, **about)

    def about(self, request: HttpRequest, obj: Job) -> dict[str, Any]:
        newest = list(Attempt.objects.filter(job=obj).order_by("-id")[:MOST_CALLS])
        return {
            "calls": calls(newest),
            "retry": obj.state == JobState.FAILED and self.has_retry_permission(request),
        }
