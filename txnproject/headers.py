"""The headers that keep a browser from doing harm with our answers, on every one of them, whoever made it.

docs/security.md lists them by kind of answer, with their reasons.
"""

from collections.abc import Mapping
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

PAGES = ("/admin/", "/docs", "/static/")
"""Where browsers find pages, besides `/`, and what belongs to them; everywhere else an answer is data."""

_CLOSED = {"base-uri": [NONE], "frame-ancestors": [NONE]}
DATA_POLICY: Mapping[str, list[str]] = {"default-src": [NONE], "form-action": [NONE], **_CLOSED}
PAGE_POLICY: Mapping[str, list[str]] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "object-src": [NONE],
    "form-action": [SELF],
    **_CLOSED,
}
# The admin's look (django-unfold) is moved by Alpine.js, which reads small expressions out of attributes and makes
# functions of them. Scripts still come from our files alone, and none stands in a page.
ADMIN_POLICY: Mapping[str, list[str]] = {**PAGE_POLICY, "script-src": [SELF, UNSAFE_EVAL]}

NO_FEATURES = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi",
        "payment", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip


class SecurityHeaders(CSPMiddleware):
    """The first middleware, so that it sees refusals and redirects of the others, too.

    Django's SecurityMiddleware, right behind it, adds those that need no thought of ours.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Permissions-Policy", NO_FEATURES)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not request.path.startswith("/static/"):
            # Names, amounts and secrets that are shown once: no cache on the way keeps them.
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
    if path.startswith("/admin/"):
        return dict(ADMIN_POLICY)
    return dict(PAGE_POLICY if path == "/" or path.startswith(PAGES) else DATA_POLICY)
