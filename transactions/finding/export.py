"""The rows of a list as CSV, a page at a time: between two pages no cursor, transaction or thread is held."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

from transactions.finding.filters import rows
from transactions.models import Transaction
from transactions.records import rfc3339
from workers.models import Job

PAGE = 1000
"""Rows that are read at a time."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula; others write references that people open there."""

COLUMNS: Mapping[type[Model], Mapping[str, str]] = {
    Transaction: {  # named as in the API
        "id": "client_ref",
        "provider_transaction_id": "id",
        "client": "client__name",
        "provider": "provider__slug",
        "amount": "amount",
        "currency": "currency",
        "reference": "reference",
        "status": "status",
        "submission": "submission",
        "review": "review",
        "failure_code": "failure_code",
        "failure_detail": "failure_detail",
        "sequence": "sequence",
        "informed_sequence": "informed_sequence",
        "created_at": "created_at",
        "finalised_at": "finalised_at",
        "informed_at": "informed_at",
    },
    Job: {
        "job": "id",
        "provider_transaction_id": "transaction_id",
        "kind": "kind",
        "key": "key",
        "lane": "lane",
        "state": "state",
        "due_at": "run_at",
        "attempt": "attempt",
        "crashes": "crashes",
        "last_error": "last_error",
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
}
"""Of each list that can be exported: the columns, and the field that each shows. No secret is among them."""


def pieces(model: type[Model], params: Mapping[str, str]) -> Iterator[str]:
    """What a list's parameters mean, newest first, as CSV (RFC 4180) with a header, times in UTC (RFC 3339).

    A field that a spreadsheet would take for a formula begins with an apostrophe. Raises UnknownFilter.
    """
    return _pages(rows(model, params).order_by("-pk"), COLUMNS[model])


def _pages(found: QuerySet[Any], columns: Mapping[str, str]) -> Iterator[str]:
    yield _csv([columns])
    page = list(found.values_list("pk", *columns.values())[:PAGE])
    while page:
        yield _csv(row[1:] for row in page)
        older = found.filter(pk__lt=page[-1][0]) if len(page) == PAGE else found.none()
        page = list(older.values_list("pk", *columns.values())[:PAGE])


def _csv(table: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in table)
    return text.getvalue()


def _cell(value: Any) -> str:
    text = rfc3339(value) if isinstance(value, datetime) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
