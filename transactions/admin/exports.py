"""A list as a file, as it is filtered: sent while it is read, to few people at a time."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import structlog
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.http.response import HttpResponseBase

from transactions.admin.pages import staff
from transactions.finding import UnknownFilter
from transactions.finding.export import pieces
from workers.admin.bases import ModelAdmin, notice

log = structlog.get_logger(__name__)

PERMISSION = "transactions.export_transaction"
AT_ONCE = 2
"""Exports that one web process sends at a time: each takes a part of a core, and others have pages to see."""

_places = threading.BoundedSemaphore(AT_ONCE)


class _Held:
    """The pieces of an export; they hold one of the places until they are closed or lost."""

    def __init__(self, made: Iterator[str]) -> None:
        self._made = made
        self.close = weakref.finalize(self, _places.release)

    def __iter__(self) -> Iterator[str]:
        yield from self._made


def export(page: ModelAdmin, request: HttpRequest, params: Mapping[str, str]) -> HttpResponseBase:
    """The rows of a list that these parameters mean, as CSV."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    if not (page.has_view_permission(request) and request.user.has_perm(PERMISSION)):
        raise PermissionDenied
    try:
        made = pieces(page.model, params)
    except UnknownFilter as error:
        raise BadRequest(str(error)) from error
    if not _places.acquire(blocking=False):
        return _busy(page, request)
    what, by = str(page.opts.verbose_name_plural), staff(request).get_username()
    log.info("A list is exported", action="exported", export={"what": what, "by": by, "filters": sorted(params)})
    name = f"{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(_Held(made), content_type="text/csv; charset=utf-8", headers=headers)


def _busy(page: ModelAdmin, request: HttpRequest) -> HttpResponse:
    says = [f"{AT_ONCE} exports are being sent already. Try again when one of them has ended."]
    answer = notice(page, request, "Too many exports at a time", says, 503)
    answer["Retry-After"] = "60"
    return answer
