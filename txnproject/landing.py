"""The landing page at `/`: the state of the service and links to its other pages."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from txnproject.health import is_ready


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """Serve the public landing page. It shows only what `/readyz` and `/v1/schema` show, and opens no session."""
    shown = {
        "ready": is_ready(),
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "sandbox_url": settings.SANDBOX_URL,
    }
    return render(request, "landing.html", shown)
