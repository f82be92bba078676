"""What operators read: states, events and the next step, said in words."""

from __future__ import annotations

from typing import Any

from transactions.models import Event, Transaction
from transactions.status import FINAL, Review, Status, Submission
from transactions.waiting import held_up
from workers.figures import span
from workers.models import Job, JobState

STATUS = {
    Status.PENDING: "no final status yet",
    Status.COMPLETED: "final: the provider has done it",
    Status.DECLINED: "final: the provider has decided against it",
    Status.FAILED: "final: refused, or proven not to exist, or failed at the provider",
}
SUBMISSION = {
    Submission.UNSENT: "no create has begun, as far as is recorded",
    Submission.UNKNOWN: "a create went unanswered: it may exist at the provider, now or later",
    Submission.CREATED: "the provider has it",
    Submission.REFUSED: "the provider will not have it, or provably never had it",
}
EVENT = {
    Event.Kind.CONTRADICTION: "the provider then said {}: recorded, not taken",
    Event.Kind.STATUS: "{}",
}
STATUS_TONE = {Status.PENDING: "", Status.COMPLETED: "ok", Status.DECLINED: "warn", Status.FAILED: "bad"}
JOB_TONE = {JobState.DONE: "ok", JobState.FAILED: "bad"}
CALL = {"create": "create", "track": "poll", "notify": "notification"}
STEP = {
    "create": "look for it at the provider, and create it where that is safe",
    "track": "poll the provider",
    "notify": "tell the client",
}


def state(value: str, words: dict[Any, str]) -> str:
    return f"{value} ({words[value]})"


def review(value: str) -> str:
    return f"an operator must look: {Review(value).label}" if value in Review else "no operator need look"


def informed(transaction: Transaction) -> str:
    if transaction.informed_sequence >= transaction.sequence:
        return f"yes, of the status {transaction.status}"
    return "of an earlier status only" if transaction.informed_sequence else "not yet"


def told(transaction: Transaction) -> tuple[str, str]:
    """Whether the client knows the status, in a word and a tone; pending is nothing that it must know."""
    if transaction.informed_sequence >= transaction.sequence:
        return "told", "ok"
    return ("not told", "warn") if transaction.status in FINAL else ("not told yet", "")


def event(entry: Event) -> str:
    if entry.kind == Event.Kind.STAFF:
        return str(entry.detail.get("what", "staff did something"))
    if entry.kind == Event.Kind.REVIEW:
        return review(entry.detail.get("review", ""))
    if entry.sequence == 1:
        return "accepted: pending"
    return EVENT[Event.Kind(entry.kind)].format(entry.status)


def details(entry: Event) -> list[tuple[str, Any]]:
    """What else the event says; empty things and what `event` has said are left out."""
    return [(name, value) for name, value in entry.detail.items() if value and name not in ("what", "review")]


def next_step(transaction: Transaction, jobs: list[Job], now: Any) -> str:
    """What happens next, and when; what holds it up."""
    if running := [job for job in jobs if job.state == JobState.RUNNING]:
        return f"{_step(running[0])}: under way"
    waiting = sorted((job for job in jobs if job.state == JobState.WAITING), key=lambda job: job.run_at)
    if not waiting:
        return "nothing: no job waits"
    job = waiting[0]
    return f"{_step(job)}, {in_words((job.run_at - now).total_seconds())}{held_up(transaction, job.kind)}"


def _step(job: Job) -> str:
    return STEP.get(job.kind, job.kind)


def in_words(seconds: float) -> str:
    return f"in {span(seconds)}" if seconds > 0 else "now"
