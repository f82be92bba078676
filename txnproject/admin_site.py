"""The one admin site: django-unfold's, in our colours."""

from typing import Any

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from txnproject.console import NAME


class Console(UnfoldAdminSite):
    index_title = "Dashboard"
    site_header = site_title = NAME
    site_url = "/"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # Unfold would write its colours into a <style> of every page, which the Content-Security-Policy forbids:
        # they are in relay/relay.css.
        context: dict[str, Any] = super().each_context(request)
        return context | {"colors": None}
