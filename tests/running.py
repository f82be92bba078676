"""Running jobs in a test, in one go or step by step."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from tests.cast import Third
from transactions.config import clear_caches
from transactions.handlers.work import Work
from transactions.models import Event, Provider, Transaction
from transactions.records import Record
from workers import jobs
from workers.jobs import Result
from workers.models import Attempt, Job
from workers.registry import Claim, Wake
from workers.standalone import run_job


def run(found: Job) -> Job:
    """Claim, run and settle this job, whatever its time; the job as it is after that."""
    run_job(found.pk)
    return Job.objects.get(pk=found.pk)


def claim(found: Job) -> Claim:
    claimed = jobs.claim_one(found)
    assert claimed is not None
    return claimed


def work(claimed: Claim) -> Work:
    """What the handlers `create` and `track` see of it."""
    found = jobs.load([claimed])[claimed.id]
    assert isinstance(found, Work)
    return found


def settle(claimed: Claim, result: Result) -> list[Wake]:
    return jobs.settle([(claimed, result)])


def again(found: Job) -> Job:
    return Job.objects.get(pk=found.pk)


def wait_of(found: Job) -> float:
    """Seconds from a job's last change to its next run."""
    return (found.run_at - found.updated_at).total_seconds()


def age(record: Record, seconds: float) -> None:
    """Let it have been accepted so many seconds ago."""
    Transaction.objects.filter(pk=record.id).update(created_at=Now() - timedelta(seconds=seconds))


def began(record: Record, seconds: float, **fields: Any) -> None:
    """Let its last create have begun so many seconds ago, with an unknown outcome."""
    which = Transaction.objects.filter(pk=record.id)
    which.update(create_began_at=Now() - timedelta(seconds=seconds), **({"submission": "unknown"} | fields))


def expire(found: Job, seconds: float = 0.001) -> None:
    """Let a running job's lease have ended so many seconds ago."""
    Job.objects.filter(pk=found.pk).update(lease_until=Now() - timedelta(seconds=seconds))


def timeline(record: Record) -> list[tuple[str, str, int | None, str]]:
    """kind, status, sequence and source of its entries."""
    return list(Event.objects.filter(transaction_id=record.id).values_list("kind", "status", "sequence", "source"))


def tries(found: Job) -> list[tuple[str, int | None]]:
    """Method and status of a job's calls."""
    return list(Attempt.objects.filter(job=found).values_list("method", "http_status"))


def change(third: Third, **fields: Any) -> None:
    """Change settings of a provider, and have them seen at once."""
    Provider.objects.filter(pk=third.provider.pk).update(**fields)
    clear_caches()
