"""A transaction's life in one list: what was asked, every call, every webhook, every change, whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse

from transactions.admin import words
from transactions.models import Event, Transaction
from transactions.status import Status
from workers.admin.bases import exact
from workers.figures import span
from workers.models import Attempt, Job

MOST = 200
"""Entries of each kind: the newest, should there ever be more. A poll an hour for a week makes 168."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `tone` is ok, warn, bad or empty; `more` is what was said, word by word."""

    at: datetime
    what: str
    tone: str = ""
    said: str = ""
    details: tuple[tuple[str, Any], ...] = ()
    more: str = ""
    model: str = ""
    """The page with all of it (`workers_attempt`), of the row `key`."""
    key: Any = None
    after: str = ""
    """How long after the entry before it."""

    @property
    def time(self) -> str:
        return exact(self.at)

    @property
    def url(self) -> str:
        return reverse(f"admin:{self.model}_change", args=[self.key]) if self.model else ""


Source = Callable[[UUID], Iterable[Entry]]
_sources: list[Source] = []


def source(entries: Source) -> Source:
    """Register a source of entries; other apps that know of a transaction's life add theirs."""
    _sources.append(entries)
    return entries


def timeline(of: Transaction) -> list[Entry]:
    """All of it in the order of time, each with the time since the one before."""
    entries = sorted((entry for find in _sources for entry in find(of.pk)), key=lambda entry: entry.at)
    timed, before = [], of.created_at
    for entry in entries:
        timed.append(replace(entry, after=f"+{span(max(0.0, (entry.at - before).total_seconds()))}"))
        before = entry.at
    return timed


@source
def events(of: UUID) -> Iterable[Entry]:
    for event in Event.objects.filter(transaction=of).order_by("-id")[:MOST]:
        said = "" if event.kind == Event.Kind.STAFF else event.get_source_display()
        yield Entry(event.at, words.event(event), _tone(event), said, tuple(words.details(event)))


def _tone(event: Event) -> str:
    match event.kind:
        case Event.Kind.CONTRADICTION:
            return "bad"
        case Event.Kind.REVIEW:
            return "warn" if event.detail.get("review") else ""
        case Event.Kind.STATUS:
            return {Status.COMPLETED: "ok", Status.PENDING: ""}.get(Status(event.status), "warn")
    return ""


@source
def calls(of: UUID) -> Iterable[Entry]:
    newest = list(Attempt.objects.filter(transaction_id=of).order_by("-id")[:MOST])
    kinds = dict(Job.objects.filter(pk__in={call.job_id for call in newest}).values_list("pk", "kind"))
    for call in newest:
        yield _call(call, kinds.get(call.job_id, ""))


def _call(call: Attempt, kind: str) -> Entry:
    answer = str(call.http_status or "") or call.error or "no answer"
    took = f" after {call.duration_ms} ms" if call.duration_ms is not None else ""
    what = f"{words.CALL.get(kind, kind)}, try {call.number}: {answer}{took}"
    if not call.method:
        what = f"{words.CALL.get(kind, kind)}, try {call.number}: {call.error}"
    bad = call.http_status is None or call.http_status >= 400
    # A look that finds nothing is what comes before every create.
    tone = "" if kind in ("create", "track") and call.http_status == 404 else "warn" if bad else ""
    request = f"{call.method} {call.url}".strip()
    more = "\n\n".join(part for part in (call.error if call.http_status else "", call.excerpt) if part)
    return Entry(call.started_at, what, tone, request, (), more, "workers_attempt", call.pk)
