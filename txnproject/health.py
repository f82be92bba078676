"""Health probes: `/healthz` shows that this process runs, `/readyz` that database, broker and dispatcher work."""

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from txnproject.metrics import metrics
from workers.broker import check_broker
from workers.foundation.database import drop_lost, is_read_only, retry_once, rows
from workers.models import WorkerProcess

FRESH = 5.0
"""Seconds for which `is_ready` caches its result: `/` is public, so its visitors must not cost a check each."""

_looking = threading.Lock()
_found = (-math.inf, False)

# PostgreSQL refuses a write before it looks for rows, so this shows for the price of a read if the session can write.
_WRITE_NOTHING = "UPDATE workers_workerprocess SET in_flight = in_flight WHERE false RETURNING 1"
_LAST_BEAT = "SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::double precision FROM workers_workerprocess"


class Probes(MiddlewareMixin):
    """Middleware that answers the probes and `/metrics` before the middleware that checks the host.

    A probe on the same machine uses an address that is not in ALLOWED_HOSTS. SECURE_REDIRECT_EXEMPT lets it use plain
    http as well.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        probes = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
        probe = probes.get(request.path) if request.method in ("GET", "HEAD") else None
        return probe(request) if probe else None


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if all parts work, else 503; the body names each part.

    `?only=database` checks one part: transactions are accepted without a broker and without workers, so load balancers
    in front of web processes use it.
    """
    found = dict(_parts(request.GET.get("only")))
    ready = bool(found) and all(part["ok"] for part in found.values())
    return JsonResponse({"ready": ready, **found}, status=200 if ready else 503)


def is_ready() -> bool:
    """Return whether all parts worked at most `FRESH` seconds ago. One thread checks; others use its last result."""
    global _found
    if time.monotonic() - _found[0] > FRESH and _looking.acquire(blocking=False):
        try:
            ready = all(part["ok"] for _, part in _parts())
            _found = (time.monotonic(), ready)
        finally:
            _looking.release()
    return _found[1]


def _parts(only: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Check the parts one by one, or `only` one of them."""
    for name, check in (("database", _database), ("broker", check_broker), ("dispatcher", _dispatcher)):
        if only in (None, name):
            try:
                yield name, check()
            except Error as error:
                drop_lost(error)
                words = "the database is read-only" if is_read_only(error) else type(error).__name__
                yield name, {"ok": False, "error": words}


def _database() -> dict[str, Any]:
    retry_once(lambda: rows(_WRITE_NOTHING))
    return {"ok": True}


def _dispatcher() -> dict[str, Any]:
    [(lag,)] = retry_once(lambda: rows(_LAST_BEAT))
    if lag is None:
        return {"ok": False, "error": "no worker has reported"}
    return {"ok": lag < WorkerProcess.SILENT_AFTER, "lag_seconds": round(lag, 3)}
