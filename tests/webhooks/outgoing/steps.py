"""Steps of the notification tests."""

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
    """Apply a final status and return its notification job."""
    apply([(record.id, Observation(Source.WEBHOOK, status=Status(status), **fields))])
    return job(record, "notify", "seq:2")


def change(alice: Caller, **fields: Any) -> None:
    """Change settings of a client and clear the caches."""
    Client.objects.filter(pk=alice.client.pk).update(**fields)
    clear_caches()
