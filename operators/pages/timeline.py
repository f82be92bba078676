"""Timeline of a transaction: every event, outbound call and webhook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from operators.pages.base import TONES, change_url
from providers.status import Status
from transactions.models import Event, Transaction
from transactions.status import Review
from webhooks.models import Webhook
from workers.foundation.formatting import span
from workers.models import Job, OutboundCall

MOST = 200
"""Upper bound for the entries of each kind; the newest are shown. Hourly polls for a week make 168."""
IN_HEADING = ("what", "review")
"""Details of an event that its heading contains."""
CALLS = {"create": "create", "track": "poll", "notify": "notification"}
"""Names of the calls, by the kind of their job."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a timeline. `tone` is ok, warn, bad or empty; `more` is text received from another party."""

    at: datetime
    what: str
    tone: str = ""
    said: str = ""
    details: tuple[tuple[str, Any], ...] = ()
    more: str = ""
    url: str = ""
    """Address of the page with all details."""
    after: str = ""
    """Time since the previous entry."""


def timeline(of: Transaction) -> list[Entry]:
    """Return all entries, oldest first."""
    entries = sorted((*_events(of.pk), *_calls(of.pk), *_webhooks(of.pk)), key=lambda entry: entry.at)
    times = [of.created_at, *(entry.at for entry in entries)]
    return [
        replace(entry, after=f"+{span(max(0.0, (entry.at - before).total_seconds()))}")
        for entry, before in zip(entries, times, strict=False)
    ]


def _events(of: UUID) -> Iterable[Entry]:
    for event in Event.objects.filter(transaction=of).order_by("-id")[:MOST]:
        source = "" if event.kind == Event.Kind.STAFF else event.get_source_display()
        details = tuple((name, value) for name, value in event.detail.items() if value and name not in IN_HEADING)
        yield Entry(event.at, _heading(event), _tone(event), source, details)


def _heading(event: Event) -> str:
    if event.kind == Event.Kind.STAFF:
        return str(event.detail.get("what", "staff action"))
    if event.kind == Event.Kind.REVIEW:
        return review_text(event.detail.get("review", ""))
    if event.kind == Event.Kind.NOTE:
        return "unusable answer from the provider"
    if event.kind == Event.Kind.CONTRADICTION:
        return f"contradicting status {event.status} from the provider: recorded, not applied"
    return "accepted: pending" if event.sequence == 1 else str(event.status)


def review_text(value: str) -> str:
    """Return the text of a review flag; an empty value is a flag that was cleared."""
    return f"needs review: {Review(value).label}" if value in Review else "review flag cleared"


def _tone(event: Event) -> str:
    match event.kind:
        case Event.Kind.CONTRADICTION:
            return "bad"
        case Event.Kind.NOTE:
            return "warn"
        case Event.Kind.REVIEW:
            return "warn" if event.detail.get("review") else ""
        case Event.Kind.STATUS:
            return {Status.COMPLETED: "ok", Status.PENDING: ""}.get(Status(event.status), "warn")
    return ""


def _calls(of: UUID) -> Iterable[Entry]:
    newest = list(OutboundCall.objects.filter(transaction_id=of).order_by("-id")[:MOST])
    kinds = dict(Job.objects.filter(pk__in={call.job_id for call in newest}).values_list("pk", "kind"))
    for call in newest:
        kind = kinds.get(call.job_id, "")
        result = str(call.http_status or "") or call.error or "no answer"
        took = f" after {call.duration_ms} ms" if call.method and call.duration_ms is not None else ""
        bad = call.http_status is None or call.http_status >= 400
        # A status check before the create usually answers 404.
        tone = "" if kind in ("create", "track") and call.http_status == 404 else "warn" if bad else ""
        more = "\n\n".join(part for part in (call.error if call.http_status else "", call.excerpt) if part)
        what = f"{CALLS.get(kind, kind)}, attempt {call.attempt}: {result}{took}"
        request = f"{call.method} {call.url}".strip()
        yield Entry(call.started_at, what, tone, request, (), more, change_url(call))


def _webhooks(of: UUID) -> Iterable[Entry]:
    for webhook in Webhook.objects.filter(transaction_id=of).order_by("-id")[:MOST]:
        again = f", received {webhook.repeats} more times" if webhook.repeats else ""
        what = f"webhook with status {webhook.word or '(none)'}: {webhook.result}{again}"
        tone = TONES.get(webhook.result, "")
        yield Entry(webhook.received_at, what, tone, "", (), webhook.body, change_url(webhook))
