"""Texts of the operators' pages: states, events and the next step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from operators.actions.action import obstacle
from providers.status import FINAL, Status
from transactions.models import Event, Transaction
from transactions.status import Review, Submission
from webhooks.models import Webhook
from workers.foundation.formatting import span
from workers.models import Job, JobState

STATUS = {
    Status.PENDING: "no final status yet",
    Status.COMPLETED: "final: completed by the provider",
    Status.DECLINED: "final: declined by the provider",
    Status.FAILED: "final: failed or refused at the provider, or proven absent there",
}
SUBMISSION = {
    Submission.UNSENT: "not sent yet",
    Submission.UNKNOWN: "the create got no clear answer; the transaction may exist at the provider",
    Submission.CREATED: "exists at the provider",
    Submission.REFUSED: "refused by the provider, or proven absent there",
}
STATUS_TONE = {Status.PENDING: "", Status.COMPLETED: "ok", Status.DECLINED: "warn", Status.FAILED: "bad"}
JOB_TONE = {JobState.DONE: "ok", JobState.FAILED: "bad"}
WEBHOOK_TONE = {Webhook.Result.CONTRADICTING: "bad", Webhook.Result.APPLIED: "ok"}
CALL = {"create": "create", "track": "poll", "notify": "notification"}
STEP = {
    "create": "check the status at the provider, then create if that is safe",
    "track": "poll the provider",
    "notify": "notify the client",
}


def review(value: str) -> str:
    """Return the text of a review flag; an empty value is a flag that was cleared."""
    return f"needs review: {Review(value).label}" if value in Review else "review flag cleared"


def informed(transaction: Transaction) -> str:
    """Return which status the client has confirmed."""
    if transaction.notified_sequence >= transaction.sequence:
        return f"yes, status {transaction.status}"
    return "only of an earlier status" if transaction.notified_sequence else "no"


def notified(transaction: Transaction) -> tuple[str, str]:
    """Return whether the client has confirmed the current status, and the tone of that."""
    if transaction.notified_sequence >= transaction.sequence:
        return "notified", "ok"
    return "not notified", "warn" if transaction.status in FINAL else ""


def event(entry: Event) -> str:
    """Return the heading of an event."""
    if entry.kind == Event.Kind.STAFF:
        return str(entry.detail.get("what", "staff action"))
    if entry.kind == Event.Kind.REVIEW:
        return review(entry.detail.get("review", ""))
    if entry.kind == Event.Kind.CONTRADICTION:
        return f"contradicting status {entry.status} from the provider: recorded, not applied"
    return "accepted: pending" if entry.sequence == 1 else str(entry.status)


def details(entry: Event) -> list[tuple[str, Any]]:
    """Return the details that the heading lacks."""
    return [(name, value) for name, value in entry.detail.items() if value and name not in ("what", "review")]


def next_step(transaction: Transaction, jobs: list[Job], now: datetime) -> str:
    """Return the next step, its due time and what delays it; empty if no job is open."""
    if running := [job for job in jobs if job.state == JobState.RUNNING]:
        return f"{STEP.get(running[0].kind, running[0].kind)}: running"
    waiting = [job for job in jobs if job.state == JobState.WAITING]
    if not waiting:
        return ""
    job = min(waiting, key=lambda job: job.run_at)
    seconds = (job.run_at - now).total_seconds()
    due = f"in {span(seconds)}" if seconds > 0 else "now"
    return f"{STEP.get(job.kind, job.kind)}, {due}{obstacle(transaction, job.kind)}"
