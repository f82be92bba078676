"""What happens to a client and its transaction in tests of notifications."""

from typing import Any

from tests.cast import Caller, job
from transactions.config import clear_caches
from transactions.models import Client
from transactions.news import News, apply
from transactions.records import Record
from transactions.status import Source, Status
from workers.models import Job


def end(record: Record, status: str = "completed", **fields: Any) -> Job:
    """Its final status arrives; the job that tells of it."""
    apply([(record.id, News(Source.WEBHOOK, status=Status(status), **fields))])
    return job(record, "notify", "seq:2")


def change(alice: Caller, **fields: Any) -> None:
    """Change settings of a client, and have them seen at once."""
    Client.objects.filter(pk=alice.client.pk).update(**fields)
    clear_caches()
