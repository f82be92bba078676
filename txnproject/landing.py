"""`/`, for whoever opens the service's address in a browser: what runs here, and where to go on."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from txnproject.health import is_ready


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """Open to strangers: it tells them nothing but what `/readyz` and `/v1/schema` do, and opens no session."""
    shown = {
        "ready": is_ready(),
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "sandbox_url": settings.SANDBOX_URL,
    }
    return render(request, "landing.html", shown)
