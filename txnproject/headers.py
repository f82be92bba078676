"""Security headers of all answers, including errors. docs/security.md lists them with their reasons."""

from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

PAGES = ("/admin/", "/docs", "/static/")
"""Prefixes of pages and their files, besides `/`; all other answers are data."""

DATA_POLICY = {name: [NONE] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")}
_OWN_FILES = ("script-src", "style-src", "font-src", "connect-src", "form-action")
PAGE_POLICY = {**DATA_POLICY, **{name: [SELF] for name in _OWN_FILES}, "img-src": [SELF, "data:"], "object-src": [NONE]}
# django-unfold uses Alpine.js, which compiles short expressions in attributes into functions. All scripts still come
# from our own files; pages contain no inline scripts.
ADMIN_POLICY = {**PAGE_POLICY, "script-src": [SELF, UNSAFE_EVAL]}

NO_FEATURES = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()"
)


class SecurityHeaders(CSPMiddleware):
    """The first middleware, so that its headers are also on errors and redirects of the others.

    Django's SecurityMiddleware adds the headers that are the same for all answers.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Permissions-Policy", NO_FEATURES)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not request.path.startswith("/static/"):
            # Answers contain names, amounts and secrets that are shown once: no cache may keep them.
            response["Cache-Control"] = "no-store"
        return super().process_response(request, response)

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if not report_only:
            parts.config = policy_of(request.path)
        return parts


def policy_of(path: str) -> dict[str, Any]:
    """Return the content security policy of a path."""
    if path.startswith("/admin/"):
        return dict(ADMIN_POLICY)
    return dict(PAGE_POLICY if path == "/" or path.startswith(PAGES) else DATA_POLICY)
