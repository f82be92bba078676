"""`/healthz`, `/readyz` and `/metrics`, answered before anything else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from txnproject.health import healthz, readyz
from txnproject.metrics import metrics

PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/metrics": metrics,
}


class Probes:
    """Before what looks at the host: a probe beside us asks by an address that is not in ALLOWED_HOSTS.

    SECURE_REDIRECT_EXEMPT lets it ask over plain http, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = PROBES.get(request.path) if request.method in ("GET", "HEAD") else None
        return (probe or self.get_response)(request)
