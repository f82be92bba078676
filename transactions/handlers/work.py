"""The snapshot that the handlers `create` and `track` get, and how it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from transactions import sql, webhook_urls
from transactions.config import ProviderSettings, provider_by_id
from transactions.news import News, apply, hasten, pause
from transactions.providers.base import Order
from transactions.records import Record
from transactions.status import Review, Source, Submission
from workers.models import JobState
from workers.registry import Claim, Failed, Settled, Wake


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed job, its transaction and provider, as they were at the claim."""

    claim: Claim
    record: Record
    provider: ProviderSettings
    webhook_url: str = field(repr=False)  # its token authenticates webhooks
    create_began_at: datetime | None
    """When the last create began, or may have begun at the latest (UTC): its run may have been lost."""
    age: float
    """Seconds since the transaction was accepted."""
    create_state: str | None
    """Of the create's job."""

    @property
    def creating(self) -> bool:
        """A create is under way."""
        return self.create_state == JobState.RUNNING

    @property
    def to_create(self) -> bool:
        """A create is under way, or waits for its turn."""
        return self.create_state in (JobState.WAITING, JobState.RUNNING)

    @property
    def order(self) -> Order:
        record = self.record
        reference = record.reference or None
        return Order(record.id, record.amount, record.currency, reference, self.webhook_url)


def snapshots(claims: Sequence[Claim]) -> dict[int, tuple[Record, datetime | None, float, str | None]]:
    """For each claimed job whose transaction exists: record, when its last create began, age in seconds, the state of
    its create's job."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SNAPSHOTS, {"ids": [str(claim.transaction_id) for claim in claims]})
        found = {row[0]: row for row in cursor.fetchall()}
    rows = {claim.id: found[claim.transaction_id] for claim in claims if claim.transaction_id in found}
    return {job: (Record.from_row(row[:16]), row[16], row[17], row[18]) for job, row in rows.items()}


def load(claims: Sequence[Claim]) -> Mapping[int, Work]:
    """The snapshots of claimed jobs whose transaction is still pending; the others have nothing left to do."""
    works: dict[int, Work] = {}
    found = snapshots(claims)
    for claim in claims:
        if claim.id not in found:
            continue
        record, began_at, age, create_state = found[claim.id]
        provider = provider_by_id(record.provider_id)
        if record.final or provider is None:
            continue
        if claim.kind == "create" and claim.lost_at is not None:
            began_at = max(claim.lost_at, began_at or claim.lost_at)
        url = webhook_urls.webhook_url(provider, record.id)
        works[claim.id] = Work(claim, record, provider, url, began_at, age, create_state)
    return works


def record(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Apply what runs learnt; pause providers that refuse our credentials; ask for a person where a job gave up."""
    for claim, outcome in settled:
        if isinstance(outcome.news, News) and outcome.news.pause_provider:
            pause(int(claim.lane[1:]), outcome.news.pause_provider)
    _, wakes = apply(_news(settled))
    return wakes


def after(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Once the jobs are settled: polling that waited for the create goes on."""
    return hasten(_news(settled))


def _news(settled: Sequence[Settled]) -> list[tuple[UUID, News]]:
    found: list[tuple[UUID, News]] = []
    for claim, outcome in settled:
        if isinstance(outcome.news, News):
            found.append((claim.transaction_id, outcome.news))
        elif isinstance(outcome.next, Failed):
            found.append((claim.transaction_id, given_up(claim, outcome.next.reason)))
    return found


def given_up(claim: Claim, reason: str) -> News:
    """A job gave up. A create may have begun in one of its runs, for all we know, so polling must look for it."""
    create = claim.kind == "create"
    return News(
        Source.CLOCK,
        submission=Submission.UNKNOWN if create else None,
        review=Review.GIVEN_UP,
        detail={"job": claim.kind, "why": reason},
        began_at=claim.now() if create else None,
        hasten=1.0 if create else None,
    )
