"""The snapshots and commands of the handlers `create` and `track`, and the saving of their results.

The handlers make network calls and touch no database; this module reads for them and writes for them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from providers import webhook_urls
from providers.adapters.base import Order
from providers.models import Provider
from providers.settings import provider_by_id
from transactions import sql
from transactions.observations import Observation
from transactions.rewinds import NOTICED_WITHIN, high_water
from transactions.snapshot import TransactionSnapshot
from transactions.status import Review, Source, Submission
from transactions.store import apply
from workers import clock
from workers.foundation.database import rows
from workers.models import JobKind
from workers.outcomes import Claim, Failed, Settled, Wake

DENIED_WITHIN = timedelta(minutes=1)
"""Time within which 403 for two transactions counts as refused credentials."""


@dataclass(frozen=True, slots=True)
class PollSoon:
    """Command: resume the polling that waits for the create, in `after` seconds, if no create is running then."""

    after: float


@dataclass(frozen=True, slots=True)
class PauseProvider:
    """Command: pause the provider until an operator resumes it. `why` is a sentence for operators."""

    why: str


@dataclass(frozen=True, slots=True)
class DeniedAccess:
    """Command: pause the provider if it denied another transaction within the last minute (`DENIED_WITHIN`)."""

    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The transaction of a claimed job, in the order of the columns of `SNAPSHOTS`."""

    snapshot: TransactionSnapshot
    create_began_at: datetime | None
    """The latest time at which the last create can have begun (UTC)."""
    age: float
    """Seconds since the transaction was accepted."""
    review: str
    stuck: bool
    """True if no call since the last progress has brought an answer that could be used."""
    seen_at: datetime | None
    """Last time that the provider had it (UTC)."""
    create_state: str | None
    """The state of the create's job."""
    jumped_at: datetime | None
    """Time of the last jump of the database's clock, by the clock after it."""
    read_at: datetime
    """Time of this reading, by the database's clock."""

    def since_jump(self, at: datetime) -> datetime:
        """Return the latest time of an event that was stored as `at`: at the last jump, if it was before that.

        A time in the future is one by a clock that has gone back since.
        """
        if self.jumped_at is None or self.jumped_at <= at <= self.read_at:
            return at
        return self.jumped_at


@dataclass(frozen=True, slots=True)
class Work(Found):
    """A claimed job, its transaction and provider, as they were at the claim."""

    claim: Claim
    provider: Provider
    webhook_url: str = field(repr=False)  # its token authenticates webhooks
    commits_lost: bool = False
    """True if the database has lost commits within the last week: an earlier create may be unknown to it."""

    @property
    def may_be_lost(self) -> bool:
        """True if the database has lost commits since the claim: its job may be lost, and run a second time."""
        noticed_at = high_water.noticed_at
        return noticed_at is not None and noticed_at > self.claim.claimed_at

    @property
    def order(self) -> Order:
        """Return the order for the provider's adapter."""
        of = self.snapshot
        return Order(of.id, of.amount, of.currency, of.reference or None, self.webhook_url)


def snapshots(claims: Sequence[Claim]) -> dict[int, Found]:
    """Read the transactions of claimed jobs, by job id; jobs whose transaction does not exist are left out.

    Raises ClockJumped if the times of the claims and of the transactions are not by the same clock.
    """
    sent = clock.elapsed()
    read = rows(sql.SNAPSHOTS, ids=[str(claim.transaction_id) for claim in claims])
    if read:
        reading = clock.Reading(read[0][-1], sent, clock.elapsed())
        clock.database.check(reading, {claim.reading for claim in claims})
    found = {row[0]: Found(TransactionSnapshot.from_row(row[:16]), *row[16:]) for row in read}
    return {claim.id: found[claim.transaction_id] for claim in claims if claim.transaction_id in found}


def load(claims: Sequence[Claim]) -> Mapping[int, Work]:
    """Read the work of claimed jobs, by job id. Jobs whose transaction is final are left out."""
    works: dict[int, Work] = {}
    found = snapshots(claims)
    noticed_at = high_water.check() if any(claim.kind == JobKind.CREATE for claim in claims) else None
    lost_at = noticed_at and noticed_at + timedelta(seconds=NOTICED_WITHIN)
    for claim in claims:
        one = found.get(claim.id)
        provider = provider_by_id(one.snapshot.provider_id) if one else None
        if one is None or provider is None or one.snapshot.final:
            continue
        # A run that was lost may have begun a create until then.
        run_lost_at = claim.lost_at if claim.kind == JobKind.CREATE else None
        began = [one.since_jump(at) for at in (one.create_began_at, run_lost_at) if at is not None]
        if lost_at is not None and claim.now() < lost_at + timedelta(seconds=provider.settle_window):
            began.append(lost_at)  # a create whose record is lost may have begun until then
        url = webhook_urls.webhook_url(provider, one.snapshot.id)
        found_now = {name.name: getattr(one, name.name) for name in fields(Found)}
        found_now |= {"create_began_at": max(began, default=None)}
        lost = lost_at is not None
        works[claim.id] = Work(**found_now, claim=claim, provider=provider, webhook_url=url, commits_lost=lost)
    return works


def save_results(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Apply the observations, pause providers that refused our credentials, flag transactions whose job gave up."""
    for claim, outcome in settled:
        for command in outcome.commands:
            if isinstance(command, PauseProvider):
                pause_provider(claim.lane.owner_id, command)
            elif isinstance(command, DeniedAccess):
                deny_access(claim.lane.owner_id, claim.transaction_id, command)
    observations: list[tuple[UUID, Observation]] = []
    for claim, outcome in settled:
        if isinstance(outcome.result, Observation):
            observations.append((claim.transaction_id, replace(outcome.result, saved_at=claim.now())))
        elif isinstance(outcome.next, Failed):
            observations.append((claim.transaction_id, given_up(claim, outcome.next.reason)))
    return apply(observations)[1]


def pause_provider(provider_id: int, command: PauseProvider) -> None:
    """Pause the provider, unless it is paused already; its due jobs wait until it is resumed."""
    Provider.objects.filter(pk=provider_id, paused=False).update(paused=True, paused_why=command.why[:255])


def deny_access(provider_id: int, transaction_id: UUID, command: DeniedAccess) -> None:
    """Note that the provider denied this transaction; pause the provider if it denied another one just before.

    A 403 may concern one transaction alone, or mean refused credentials. One statement does both, so that the second of
    two at the same time sees the first.
    """
    why = Value(f"403 for two transactions. {command.why}"[:255])
    # A time far in the future is one from before the database's clock went back.
    recently = Q(denied_at__range=(Now() - DENIED_WITHIN, Now() + DENIED_WITHIN))
    pauses = recently & Q(paused=False) & ~Q(denied_id=transaction_id)
    Provider.objects.filter(pk=provider_id).update(
        denied_at=Now(),
        denied_id=transaction_id,
        paused=Case(When(pauses, then=True), default="paused"),
        paused_why=Case(When(pauses, then=why), default="paused_why"),
    )


def resume_polling(settled: Sequence[Settled]) -> Sequence[Wake]:
    """Resume the polling that waits for the creates of settled jobs."""
    commands: list[tuple[UUID, PollSoon]] = []
    for claim, outcome in settled:
        commands += [(claim.transaction_id, one) for one in outcome.commands if isinstance(one, PollSoon)]
        if isinstance(outcome.next, Failed) and claim.kind == JobKind.CREATE:
            commands.append((claim.transaction_id, PollSoon(1.0)))
    return poll_soon(commands)


def poll_soon(commands: Sequence[tuple[UUID, PollSoon]]) -> list[Wake]:
    """Carry out `PollSoon` for these transactions; return the lanes to wake.

    Call it in the database transaction of `store.apply`, once the jobs are settled.
    """
    if not commands:
        return []
    after = {str(id_): command.after for id_, command in commands}
    given = json.dumps([{"id": id_, "after": seconds} for id_, seconds in after.items()])
    resumed = rows(sql.POLL_SOON, commands=given, ids=list(after))
    return [Wake(JobKind.TRACK, lane, max(seconds, 0.0)) for lane, seconds in resumed]


def given_up(claim: Claim, reason: str) -> Observation:
    """Build the observation that a job gave up. A run of `create` may have begun a create, so polling continues."""
    create = claim.kind == JobKind.CREATE
    return Observation(
        Source.CLOCK,
        submission=Submission.UNKNOWN if create else None,
        review=Review.GIVEN_UP,
        detail={"job": claim.kind, "why": reason},
        began_at=claim.now() if create else None,
        saved_at=claim.now(),
    )
