"""The admin site: django-unfold's, with the dashboard, saved lists and our colours."""

import threading
from typing import Any

from django.contrib import admin
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import escape
from unfold.sites import UnfoldAdminSite

LOGINS = 2
"""Upper bound for simultaneous logins of one web process: strangers may try any number of passwords."""

_checks = threading.BoundedSemaphore(LOGINS)


class Console(UnfoldAdminSite):
    """The admin site. It imports models late, because Django creates it before they are loaded."""

    index_title = "Dashboard"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Check few passwords at a time: each check occupies a processor for a good part of a second."""
        if request.method != "POST":
            return super().login(request, extra_context)
        if not _checks.acquire(blocking=False):
            return HttpResponse(b"Too many logins. Try again.\n", "text/plain", 503, headers={"Retry-After": "1"})
        try:
            return super().login(request, extra_context)
        finally:
            _checks.release()

    def extra_urls(self) -> list[URLPattern]:
        from operators.dashboard.page import fragment

        return [path("overview/", self.admin_view(fragment), name="overview")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        from operators.dashboard.page import context

        return super().index(request, (extra_context or {}) | context(request))

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Return the menu, with the lists that the user has saved."""
        from operators.models import SavedView

        first, *others = super().get_sidebar_list(request)
        saved = [_item(request, view) for view in SavedView.objects.filter(by=request.user.pk)]
        return [first, {"title": "Saved lists", "items": saved}, *others]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Search the menu; answer 404 for a page of results that does not exist."""
        try:
            return super().search(request, extra_context)
        except (ValueError, InvalidPage) as error:
            raise Http404 from error

    def each_context(self, request: HttpRequest) -> Any:
        """Return the context of every page, without unfold's colours.

        Unfold would write them into a <style>, which the Content-Security-Policy forbids. They are in relay/relay.css.
        """
        return super().each_context(request) | {"colors": None}


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the page for a user who lacks a permission; it links to the dashboard."""
    context = admin.site.each_context(request) | {"title": "Not allowed"}
    return render(request, "admin/refused.html", context, status=403)


def _item(request: HttpRequest, view: Any) -> dict[str, Any]:
    app, model = view.of.split(".")
    link = f"{reverse(f'admin:{app}_{model}_changelist')}?{view.query}"
    return {
        "title": escape(view.name),  # unfold marks it as safe HTML
        "icon": "bookmark",
        "link": link,
        "active": request.get_full_path() == link,
        "has_permission": request.user.has_perm(f"{app}.view_{model}"),
    }
