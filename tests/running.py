"""Functions that run jobs in tests, completely or in single steps."""

import asyncio
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from operators.dashboard.counting import MINUTE, count_until
from providers.models import Provider
from providers.status import Status
from tests.cast import Third, clear_caches, now
from transactions.models import Event, Transaction
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Source
from transactions.store import apply
from workers import jobs, kinds
from workers.jobs import Result, run_job
from workers.models import Job, OutboundCall
from workers.outbound import Http
from workers.outcomes import Claim, Outcome, Wake


def run(found: Job) -> Job:
    """Claim, run and settle this job, due or not; return it as it is afterwards."""
    run_job(found.pk)
    return Job.objects.get(pk=found.pk)


def claim(found: Job) -> Claim:
    claimed = jobs.claim_one(found)
    assert claimed is not None
    return claimed


def settle(claimed: Claim, result: Result) -> list[Wake]:
    return jobs.settle([(claimed, result)])


def again(found: Job) -> Job:
    return Job.objects.get(pk=found.pk)


def wait_of(found: Job) -> float:
    """Return the seconds from a job's last change to its next run."""
    return (found.run_at - found.updated_at).total_seconds()


def age(record: TransactionSnapshot, seconds: float) -> None:
    """Move the time of acceptance to so many seconds ago."""
    Transaction.objects.filter(pk=record.id).update(created_at=Now() - timedelta(seconds=seconds))


def began(record: TransactionSnapshot, seconds: float, **fields: Any) -> None:
    """Set the start of its last create to so many seconds ago, with an unknown outcome."""
    which = Transaction.objects.filter(pk=record.id)
    which.update(create_began_at=Now() - timedelta(seconds=seconds), **({"submission": "unknown"} | fields))


def expire(found: Job, seconds: float = 0.001) -> None:
    """Set the end of a running job's lease to so many seconds ago."""
    Job.objects.filter(pk=found.pk).update(lease_until=Now() - timedelta(seconds=seconds))


def timeline(record: TransactionSnapshot) -> list[tuple[str, str, int | None, str]]:
    """Return kind, status, sequence and source of the timeline's entries."""
    return list(Event.objects.filter(transaction_id=record.id).values_list("kind", "status", "sequence", "source"))


def tries(found: Job) -> list[tuple[str, int | None]]:
    """Return method and status of a job's calls."""
    return list(OutboundCall.objects.filter(job=found).values_list("method", "http_status"))


def change(third: Third, **fields: Any) -> None:
    """Change settings of a provider and clear the caches."""
    Provider.objects.filter(pk=third.provider.pk).update(**fields)
    clear_caches()


def facts(record: TransactionSnapshot) -> tuple[str, str, str]:
    """Return status, submission and review of a transaction."""
    row = now(record)
    return row.status, row.submission, row.review


def tell(record: TransactionSnapshot, status: str) -> None:
    """Apply a webhook with this status."""
    apply([(record.id, Observation(Source.WEBHOOK, status=Status(status)))])


def count() -> None:
    """Count all events, including those of this minute, which workers count when it has ended."""
    count_until(timezone.now().replace(second=0, microsecond=0) + MINUTE)


def perform(claimed: Claim, http: type[Http] = Http) -> Outcome:
    """Run only the handler of a claimed job."""
    seen = jobs.load([claimed])[claimed.id]

    async def go() -> Outcome:
        async with http(["127.0.0.1"]) as opened:
            return await kinds.kind_of(claimed.kind).handle(seen, opened)

    return asyncio.run(go())


def lose(record: TransactionSnapshot) -> None:
    """Delete a transaction with everything that belongs to it, as a failover does that lost its commits."""
    Job.objects.filter(transaction_id=record.id).delete()
    Transaction.objects.filter(pk=record.id).delete()
