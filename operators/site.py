"""The one admin site: django-unfold's, in our colours."""

from typing import Any

from django.contrib import admin
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import escape
from unfold.sites import UnfoldAdminSite

from operators.menu import NAME


class Console(UnfoldAdminSite):
    index_title = "Dashboard"
    site_header = site_title = NAME
    site_url = "/"

    def extra_urls(self) -> list[URLPattern]:
        from operators.dashboard.page import fragment  # models are not there yet when this module is

        return [path("overview/", self.admin_view(fragment), name="overview")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from operators.dashboard.page import context

        page: TemplateResponse = super().index(request, {**(extra_context or {}), **context(request)})
        return page

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The menu, with the lists that this person has saved."""
        first, *others = super().get_sidebar_list(request)
        from operators.models import SavedView

        saved = [_item(request, view) for view in SavedView.objects.filter(by=request.user.pk)]
        return [first, {"title": "Saved lists", "items": saved}, *others]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Of the menu; a page of it that there is not is no error of ours."""
        try:
            page: TemplateResponse = super().search(request, extra_context)
        except (ValueError, InvalidPage) as error:
            raise Http404 from error
        return page

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # Unfold would write its colours into a <style> of every page, which the Content-Security-Policy forbids:
        # they are in relay/relay.css.
        context: dict[str, Any] = super().each_context(request)
        return context | {"colors": None}


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What somebody who is signed in may not do: said on a page that leads on."""
    context = admin.site.each_context(request) | {"title": "Not allowed"}
    return render(request, "admin/refused.html", context, status=403)


def _item(request: HttpRequest, view: Any) -> dict[str, Any]:
    app, model = view.of.split(".")
    link = f"{reverse(f'admin:{app}_{model}_changelist')}?{view.query}"
    return {
        "title": escape(view.name),  # unfold takes it for HTML
        "icon": "bookmark",
        "link": link,
        "active": request.get_full_path() == link,
        "has_permission": request.user.has_perm(f"{app}.view_{model}"),
    }
