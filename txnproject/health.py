"""Health probes: `/healthz` shows that this process runs, `/readyz` that database, broker and dispatcher work.

`/readyz` also shows the machines' clocks. A wrong one delays and endangers nothing, so it fails no probe.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from txnproject.metrics import metrics
from workers import clock
from workers.broker import check_broker
from workers.foundation.database import is_full, is_read_only, rows
from workers.foundation.session_settings import MissingSettings, check_session
from workers.models import WorkerProcess
from workers.statistics import worst_skew

FRESH = 5.0
"""Seconds for which `is_ready` caches its result: `/` is public, so its visitors must not cost a check each."""
LIMIT = 2.0
"""Timeout in seconds of a check, also while a store neither responds nor closes its connections."""
SHARED = 0.2
"""Seconds for which the requests of `/readyz` share a result: it is public, so its visitors cost few checks."""
SPILL_EVERY = 5.0
"""Seconds between two writes to the disk of the database, while they succeed."""

_looking = threading.Lock()
_found = (-math.inf, False)

# PostgreSQL refuses a write before it looks for rows, so this shows for the price of a read if the session can write.
_WRITE_NOTHING = "UPDATE workers_workerprocess SET in_flight = in_flight WHERE false RETURNING 1"
# With little `work_mem`, the rows go to a temporary file of about 0.5 MB on the disk of the database. A full disk
# refuses it, as it refuses new rows; an update of an existing row may still find room. It writes no WAL.
_SPILL = "SELECT count(*) FROM generate_series(1, 40000) AS spilled"
_spilled_at = -math.inf
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


class SharedCheck:
    """A check that runs in a thread of its own, one at a time. Its callers share the result and wait up to LIMIT."""

    def __init__(self, look: Callable[[], dict[str, Any]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._begun_at = -math.inf
        self._done = threading.Event()
        self._done.set()
        self._found: dict[str, Any] = {}

    def begin(self) -> None:
        """Begin a check, unless one is running or began less than SHARED seconds ago."""
        with self._lock:
            if self._done.is_set() and time.monotonic() - self._begun_at > SHARED:
                self._begun_at = time.monotonic()
                self._done.clear()
                threading.Thread(target=self._run, daemon=True).start()

    def result(self) -> dict[str, Any]:
        """Return the result of the check that began last, or an error LIMIT seconds after its begin."""
        if self._done.wait(max(self._begun_at + LIMIT - time.monotonic(), 0)):
            return self._found
        return {"ok": False, "error": f"no response within {LIMIT:g} s"}

    def _run(self) -> None:
        try:
            self._found = self._look()
        except Exception as error:
            self._found = {"ok": False, "error": _in_words(error)}
        finally:
            connection.close()  # a kept one may lead to a server that has been replaced
            self._done.set()


def _in_words(error: Exception) -> str:
    """Return the cause without texts of the server: they may contain addresses."""
    if is_full(error):
        return "the disk of the database is full"
    if isinstance(error, MissingSettings):
        return "the sessions of the database lack their timeouts"
    return "the database is read-only" if is_read_only(error) else type(error).__name__


def _parts(only: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Check the parts at the same time, or `only` one of them."""
    chosen = {name: check for name, check in CHECKS.items() if only in (None, name)}
    for check in chosen.values():
        check.begin()
    for name, check in chosen.items():
        yield name, check.result()


def _database() -> dict[str, Any]:
    global _spilled_at
    check_session()  # also done for each new connection, but a pooler may change the session behind it
    rows(_WRITE_NOTHING)
    if time.monotonic() - _spilled_at > SPILL_EVERY:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = 64")
            cursor.execute(_SPILL)
        _spilled_at = time.monotonic()
    return {"ok": True}


def _dispatcher() -> dict[str, Any]:
    [(lag,)] = rows(_LAST_BEAT)
    if lag is None:
        return {"ok": False, "error": "no worker has reported"}
    # A heartbeat in the future is one from before the database's clock went back.
    return {"ok": abs(lag) < WorkerProcess.SILENT_AFTER, "lag_seconds": round(lag, 3)}


def _clock() -> dict[str, Any]:
    """Return how far wall clocks are ahead of the database's: this machine's, and the worst of the workers'."""
    clock.database.observe(clock.read())
    skews = {"web": clock.database.skew(), "workers": worst_skew()}
    found = {f"{name}_ahead_seconds": round(skew, 3) for name, skew in skews.items()}
    wrong = [name for name, skew in skews.items() if abs(skew) > clock.MAX_SKEW]
    warning = f"the clock of {' and '.join(wrong)} differs from the database's: synchronise them by NTP"
    return {"ok": True, **found} | ({"warning": warning} if wrong else {})


CHECKS = {
    "database": SharedCheck(_database),
    "broker": SharedCheck(check_broker),
    "dispatcher": SharedCheck(_dispatcher),
    "clock": SharedCheck(_clock),
}
"""Checks by the name of their part."""
