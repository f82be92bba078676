"""`/healthz`: this process runs. `/readyz`: database, broker and dispatcher work."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from workers.broker import check_broker
from workers.models import WorkerProcess

FRESH = 5.0
"""Seconds for which `is_ready` caches its result: `/` is public, so its visitors must not cost a check each."""

_looking = threading.Lock()
_found = (-math.inf, False)

_LAST_BEAT = "SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::double precision FROM workers_workerprocess"


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if all parts work, else 503; the body names each part.

    `?only=database` checks one part: transactions are accepted without a broker and without workers, so load balancers
    in front of web processes use it.
    """
    only = request.GET.get("only")
    found = {name: part() for name, part in _parts().items() if only in (None, name)}
    ready = bool(found) and all(part["ok"] for part in found.values())
    return JsonResponse({"ready": ready, **found}, status=200 if ready else 503)


def is_ready() -> bool:
    """True if all parts worked at most `FRESH` seconds ago. One thread checks; the others use its last result."""
    global _found
    if time.monotonic() - _found[0] > FRESH and _looking.acquire(blocking=False):
        try:
            ready = all(part()["ok"] for part in _parts().values())
            _found = (time.monotonic(), ready)
        finally:
            _looking.release()
    return _found[1]


def _parts() -> dict[str, Callable[[], dict[str, Any]]]:
    return {"database": _database, "broker": check_broker, "dispatcher": _dispatcher}


def _database() -> dict[str, Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        connection.close()
        return {"ok": False, "error": type(error).__name__}
    return {"ok": True}


def _dispatcher() -> dict[str, Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_LAST_BEAT)
            (lag,) = cursor.fetchone()
    except Error as error:
        connection.close()
        return {"ok": False, "error": type(error).__name__}
    if lag is None:
        return {"ok": False, "error": "no worker has reported"}
    return {"ok": lag < WorkerProcess.SILENT_AFTER, "lag_seconds": round(lag, 3)}
