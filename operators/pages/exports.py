"""CSV export of a list, streamed page by page: between two pages it holds no cursor, transaction or thread."""

from __future__ import annotations

import csv
import io
import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from operators import search as finding
from operators.pages.base import ModelAdmin, show
from transactions.models import Transaction
from workers.foundation.text import rfc3339
from workers.models import Job

log = structlog.get_logger(__name__)

PERMISSION = "transactions.export_transaction"
AT_ONCE = 2
"""Upper bound for simultaneous exports of one web process, so that pages keep their share of the processor."""
PAGE = 1000
"""Rows read at a time."""
_BLANK = r"\s\x00-\x1f\x7f\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
"""Characters that spreadsheets skip or do not show."""
_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"
"""First character of a formula; some spreadsheets also take the full-width and the small forms."""
_SEPARATOR = r"[,;|\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_BEFORE_FORMULA = re.compile(rf"""^(?=[{_BLANK}]|"*{_FORMULA})|(?<={_SEPARATOR})(?=[{_BLANK}"]*{_FORMULA})""")
"""The places in a text where a spreadsheet may find a formula, if it splits the text at this separator.

References come from clients, and staff open them in spreadsheets. One that expects semicolons ignores the quotes of a
cell that is in the middle of one of its own cells.
"""


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


COLUMNS: Mapping[type[Model], Mapping[str, str]] = {
    Transaction: {  # named as in the API
        "id": "client_ref", "provider_transaction_id": "id", "client": "client__name", "provider": "provider__slug",
        **_same("amount", "currency", "reference", "status", "submission", "review", "failure_code", "failure_detail",
                "sequence", "notified_sequence", "created_at", "finalised_at", "notified_at"),
    },
    Job: {
        "job": "id", "provider_transaction_id": "transaction_id", "due_at": "run_at",
        **_same("kind", "key", "lane", "state", "claim_count", "crashes", "last_error", "created_at", "updated_at"),
    },
}  # fmt: skip
"""Columns of each list that has an export, with their fields. No column holds a secret."""

_slots = threading.BoundedSemaphore(AT_ONCE)


class _Export:
    """The chunks of an export. It occupies a slot until it is closed or garbage-collected."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self.close = weakref.finalize(self, _slots.release)

    def __iter__(self) -> Iterator[str]:
        yield from self._chunks  # the generator keeps this object, and with it the slot


def export(page: ModelAdmin, request: HttpRequest, params: Mapping[str, str]) -> HttpResponseBase:
    """Return the list with these parameters as a CSV file. Raises UnknownFilter."""
    if page.model not in COLUMNS:
        raise Http404
    if not (page.has_view_permission(request) and request.user.has_perm(PERMISSION)):
        raise PermissionDenied
    chunks = pieces(page.model, params)
    if not _slots.acquire(blocking=False):
        says = [f"{AT_ONCE} exports are running. Try again when one of them has finished."]
        answer = show(page, request, "notice", title="Too many exports", says=says, status=503)
        answer["Retry-After"] = "60"
        return answer
    what, by = str(page.opts.verbose_name_plural), request.user.get_username()
    log.info("A list is exported", action="exported", export={"what": what, "by": by, "filters": sorted(params)})
    headers = {"Content-Disposition": f'attachment; filename="{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"'}
    return StreamingHttpResponse(_Export(chunks), content_type="text/csv; charset=utf-8", headers=headers)


def pieces(model: type[Model], params: Mapping[str, str]) -> Iterator[str]:
    """Return the rows with these parameters, newest first, as CSV (RFC 4180) with a header; times in UTC (RFC 3339).

    All cells are quoted. In texts, an apostrophe precedes what a spreadsheet could take for a formula. Raises
    UnknownFilter.
    """
    return _pages(finding.rows(model, params), finding.list_key(model), COLUMNS[model])


def _pages(rows: QuerySet[Any], key: str, columns: Mapping[str, str]) -> Iterator[str]:
    yield _csv([columns])
    rows = rows.order_by(f"-{key}").values_list(key, *columns.values())
    page = list(rows[:PAGE])
    while page:
        yield _csv(row[1:] for row in page)
        page = list(rows.filter((f"{key}__lt", page[-1][0]))[:PAGE]) if len(page) == PAGE else []


def _csv(table: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([_cell(value) for value in row] for row in table)
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    return _BEFORE_FORMULA.sub("'", value) if isinstance(value, str) else "" if value is None else str(value)
