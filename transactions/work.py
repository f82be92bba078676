"""What the handlers `create` and `track` are given, and how their results are saved.

The handlers make network calls and touch no database; this module reads for them and writes for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from providers import webhook_urls
from providers.adapters.base import Order
from providers.settings import ProviderSettings, provider_by_id
from transactions import sql
from transactions.commands import PauseProvider, PollSoon, pause_provider, poll_soon
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Review, Source, Submission
from transactions.store import apply
from workers.models import JobKind, JobState
from workers.outcomes import Claim, Failed, Settled, Wake


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed job, its transaction and provider, as they were at the claim."""

    claim: Claim
    snapshot: TransactionSnapshot
    provider: ProviderSettings
    webhook_url: str = field(repr=False)  # its token authenticates webhooks
    create_began_at: datetime | None
    """The latest time at which the last create can have begun (UTC): its run may have been lost."""
    age: float
    """Seconds since the transaction was accepted."""
    create_state: str | None
    """State of the create's job."""

    @property
    def creating(self) -> bool:
        """True while a create runs."""
        return self.create_state == JobState.RUNNING

    @property
    def to_create(self) -> bool:
        """True while a create runs or waits."""
        return self.create_state in (JobState.WAITING, JobState.RUNNING)

    @property
    def order(self) -> Order:
        """The transaction as the provider's adapter needs it."""
        of = self.snapshot
        return Order(of.id, of.amount, of.currency, of.reference or None, self.webhook_url)


@dataclass(frozen=True, slots=True)
class Found:
    """A claimed job's transaction, as `SNAPSHOTS` reads it."""

    snapshot: TransactionSnapshot
    create_began_at: datetime | None
    age: float
    create_state: str | None


def snapshots(claims: Sequence[Claim]) -> dict[int, Found]:
    """Read the transactions of claimed jobs, by job id; jobs whose transaction does not exist are left out."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SNAPSHOTS, {"ids": [str(claim.transaction_id) for claim in claims]})
        rows = {row[0]: Found(TransactionSnapshot.from_row(row[:16]), *row[16:]) for row in cursor.fetchall()}
    return {claim.id: rows[claim.transaction_id] for claim in claims if claim.transaction_id in rows}


def load(claims: Sequence[Claim]) -> Mapping[int, Work]:
    """Read the work of claimed jobs whose transaction is still pending; the others have nothing left to do."""
    works: dict[int, Work] = {}
    found = snapshots(claims)
    for claim in claims:
        if claim.id not in found:
            continue
        one = found[claim.id]
        provider = provider_by_id(one.snapshot.provider_id)
        if one.snapshot.final or provider is None:
            continue
        began_at = one.create_began_at
        if claim.kind == JobKind.CREATE and claim.lost_at is not None:
            began_at = max(claim.lost_at, began_at or claim.lost_at)
        url = webhook_urls.webhook_url(provider, one.snapshot.id)
        works[claim.id] = Work(claim, one.snapshot, provider, url, began_at, one.age, one.create_state)
    return works


def save_results(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Apply what runs observed, pause providers that refused our credentials, flag transactions whose job gave up."""
    for claim, outcome in settled:
        for command in outcome.commands:
            if isinstance(command, PauseProvider):
                pause_provider(claim.lane.owner_id, command)
    _, wakes = apply(_observations(settled))
    return wakes


def resume_polling(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Resume, once the jobs are settled, the polling that waited for their creates."""
    commands: list[tuple[UUID, PollSoon]] = []
    for claim, outcome in settled:
        commands += [(claim.transaction_id, one) for one in outcome.commands if isinstance(one, PollSoon)]
        if isinstance(outcome.next, Failed) and claim.kind == JobKind.CREATE:
            commands.append((claim.transaction_id, PollSoon(1.0)))
    return poll_soon(commands)


def _observations(settled: Sequence[Settled]) -> list[tuple[UUID, Observation]]:
    found: list[tuple[UUID, Observation]] = []
    for claim, outcome in settled:
        if isinstance(outcome.result, Observation):
            found.append((claim.transaction_id, outcome.result))
        elif isinstance(outcome.next, Failed):
            found.append((claim.transaction_id, given_up(claim, outcome.next.reason)))
    return found


def given_up(claim: Claim, reason: str) -> Observation:
    """Build the observation that a job gave up. One of its runs may have begun a create, so polling looks for it."""
    create = claim.kind == JobKind.CREATE
    return Observation(
        Source.CLOCK,
        submission=Submission.UNKNOWN if create else None,
        review=Review.GIVEN_UP,
        detail={"job": claim.kind, "why": reason},
        began_at=claim.now() if create else None,
    )
