"""What staff may do in the admin: each once, however often the button is pressed, and with a record of who and why."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Max

from transactions import credentials
from transactions.credentials import secrets_of
from transactions.models import ApiKey, Client, Event, Provider, Transaction
from transactions.status import FINAL, Review, Source, Submission
from workers import breaker
from workers.announce import announce
from workers.models import Job, JobState
from workers.registry import Wake
from workers.staff import revive

log = structlog.get_logger(__name__)

AT_PROVIDER = ("create", "track")
"""Kinds of jobs that a final status makes needless, and that flag the transaction when they are given up."""


class Retry(StrEnum):
    """What becomes of a retry."""

    DONE = "retried"
    NOT_FAILED = "was not failed any more"
    FINAL = "its transaction is final: nothing is left to do"
    CREATED = "the provider has the transaction already: it must not be created again"


def judge(job: Job, of: Transaction) -> Retry:
    """Whether a job, as it is, may be tried again. Only a failed one, and only for what is still to be done."""
    if job.state != JobState.FAILED:
        return Retry.NOT_FAILED
    if job.kind in AT_PROVIDER and of.status in FINAL:
        return Retry.FINAL
    if job.kind == "create" and of.submission not in (Submission.UNSENT, Submission.UNKNOWN):
        return Retry.CREATED
    return Retry.DONE


def retry_job(*, job_id: int, by: User, reason: str) -> Retry:
    """Try a failed job again, from the start of its schedule; on the timeline, with who and why.

    The transaction's row is locked first, as by all news of it: what is judged here stays so until the commit. A final
    status that comes right after it leaves the job to find, when its turn comes, that nothing is left to do. Of two who
    press the button, the second finds the job not failed any more.
    """
    if not (reason := reason.strip()):
        raise ValueError("a retry needs a reason")
    with transaction.atomic(durable=True):
        job = Job.objects.get(pk=job_id)
        of = Transaction.objects.select_for_update().get(pk=job.transaction_id)
        if (verdict := judge(job, of)) is not Retry.DONE:
            return verdict
        # A create is given up only when its runs ended without a result: one of them may have reached the provider.
        wake = revive(job_id=job_id, doubtful=job.kind == "create")
        if wake is None:
            return Retry.NOT_FAILED
        told = {"who": by.get_username(), "why": reason}
        what = told | {"what": f"retried the job {job.kind}", "job": job_id, "error": job.last_error}
        Event.objects.create(transaction=of, kind=Event.Kind.STAFF, source=Source.STAFF, detail=what)
        _withdraw_given_up(of, job, told)
        _log(by, job, f"Retried: {reason}")
    announce([wake])
    log.info("A failed job is retried", action="job_retried", job={"id": job_id, "by": by.get_username()})
    return verdict


def _withdraw_given_up(of: Transaction, job: Job, told: dict[str, Any]) -> None:
    """The transaction needs nobody's look any more, unless its other job at the provider is given up, too."""
    if of.review != Review.GIVEN_UP or job.kind not in AT_PROVIDER:
        return
    if Job.objects.filter(transaction_id=of.pk, kind__in=AT_PROVIDER, state=JobState.FAILED).exists():
        return
    Transaction.objects.filter(pk=of.pk).update(review="")
    detail = told | {"review": "", "was": Review.GIVEN_UP}
    Event.objects.create(transaction=of, kind=Event.Kind.REVIEW, source=Source.STAFF, detail=detail)


def create_key(*, client: Client, name: str, lasts: timedelta | None, by: User, newest: int) -> str | None:
    """A new API key, to be shown once. None when `newest` is not the client's newest key any more: the button was
    pressed twice, or somebody else was faster."""
    with transaction.atomic(durable=True):
        credentials.lock(client)
        if newest_key(client) != newest:
            return None
        key = credentials.add_key(client, name=name, lasts=lasts)
        _log(by, client, f"Created the API key {key[:12]}… ({name})")
    return key


def revoke_key(*, key_id: int, by: User) -> bool:
    """Revoke an API key; it takes effect everywhere within two seconds. False when it was revoked before."""
    with transaction.atomic(durable=True):
        key = ApiKey.objects.select_related("client").get(pk=key_id)
        if not credentials.revoke(key_id):
            return False
        _log(by, key.client, f"Revoked the API key {key}")
    return True


def add_secret(
    *, owner: Client | Provider, overlap: timedelta | None, by: User, newest: int, secret: str | None = None
) -> str | None:
    """A new secret of a client (it signs notifications) or provider (it signs webhooks), to be shown once; or the
    given one.

    The ones before it end after `overlap`; None keeps them. Returns None when `newest` is not the newest any more.
    """
    with transaction.atomic(durable=True):
        credentials.lock(owner)
        if newest_secret(owner) != newest:
            return None
        added = credentials.add_secret(owner, overlap=overlap, secret=secret or "")
        _log(by, owner, f"Added the {added}")
    return str(added.secret)


def close_breakers(*, provider: Provider, by: User) -> int:
    """Close a provider's open circuit breakers: what they hold goes on at once. Returns how many were open."""
    with transaction.atomic(durable=True):
        closed = breaker.close(provider.lane)
        if closed:
            _log(by, provider, f"Closed {closed} circuit breaker{'s' if closed > 1 else ''}")
    announce([Wake(kind, provider.lane) for kind in AT_PROVIDER])
    return closed


def newest_key(client: Client) -> int:
    """The id of the newest API key; 0 for none."""
    return client.api_keys.aggregate(newest=Max("pk"))["newest"] or 0


def newest_secret(owner: Client | Provider) -> int:
    """The id of the newest secret; 0 for none."""
    newest: int | None = secrets_of(owner).aggregate(newest=Max("pk"))["newest"]
    return newest or 0


def _log(by: User, what: models.Model, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [what], CHANGE, message, single_object=True)
