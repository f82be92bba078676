"""What happens to a client and its transaction in tests of notifications."""

from typing import Any

from clients.models import Client
from providers.status import Status
from tests.cast import Caller, clear_caches, job
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Source
from transactions.store import apply
from workers.models import Job


def end(record: TransactionSnapshot, status: str = "completed", **fields: Any) -> Job:
    """Its final status arrives; the job that tells of it."""
    apply([(record.id, Observation(Source.WEBHOOK, status=Status(status), **fields))])
    return job(record, "notify", "seq:2")


def change(alice: Caller, **fields: Any) -> None:
    """Change settings of a client, and have them seen at once."""
    Client.objects.filter(pk=alice.client.pk).update(**fields)
    clear_caches()
