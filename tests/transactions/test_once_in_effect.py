"""Many lives of one transaction, drawn at random: whatever answers, crashes and delays come in whatever order, nothing
is created while an earlier create exists or may still come to exist, and the outcome is the provider's."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from django.db import connection

from tests.cast import accepted, job, now
from tests.running import change, timeline
from transactions.news import News, apply
from transactions.providers import ADAPTERS
from transactions.providers.base import Absent, Exists, Seen, Throttled, Unclear, Unsent
from transactions.status import FINAL, Source, Status
from workers import jobs, registry
from workers.jobs import Lost
from workers.registry import Call

pytestmark = pytest.mark.django_db

WINDOW = 120.0
CALL = Call("POST", "http://far", datetime(2026, 1, 1, tzinfo=UTC), 1)


@dataclass
class World:
    """The provider, and its time. `appears`: when the copy is there, None: never or not yet asked for."""

    draw: random.Random
    time: float = 0.0
    appears: float | None = None
    truth: Status = Status.PENDING
    wrong: list[str] = field(default_factory=list)

    @property
    def there(self):
        return self.appears is not None and self.appears <= self.time

    async def create(self, provider, http, order):
        kind = self.draw.choices(["done", "slow", "never", "unsent", "throttled"], [2, 6, 3, 2, 1])[0]
        if kind == "unsent":
            raise Unsent("refused", CALL)
        if kind == "throttled":
            raise Throttled("429", CALL, None)
        if self.appears is not None:
            self.wrong.append(f"created at {self.time:g} what appears at {self.appears:g}")
            if self.there:
                raise Exists("409", CALL)
        if kind != "never":
            self.truth = self.draw.choice(FINAL)
            self.appears = self.time + (0.0 if kind == "done" else self.draw.choice([1.0, 30.0, 90.0, WINDOW - 1]))
        if kind == "done" and self.draw.random() < 0.6:
            return Seen(self.truth if self.draw.random() < 0.6 else Status.PENDING, CALL)
        raise Unclear("504", CALL)

    async def read(self, provider, http, id):
        if self.draw.random() < 0.3:
            raise self.draw.choice([Unclear("500", CALL), Unsent("refused", CALL), Throttled("429", CALL, 1.0)])
        if not self.there:
            raise Absent("404", CALL)
        return Seen(self.truth if self.draw.random() < 0.7 else Status.PENDING, CALL)

    def pass_time(self, seconds):
        """All that is stored moves into the past."""
        self.time += seconds
        with connection.cursor() as cursor:
            for table, columns in (
                ("transactions_transaction", ("created_at", "create_began_at")),
                ("workers_job", ("run_at", "lease_until", "lost_at", "updated_at")),
            ):
                moved = ", ".join(f"{column} = {column} - %(by)s * interval '1 second'" for column in columns)
                cursor.execute(f"UPDATE {table} SET {moved}", {"by": seconds})  # noqa: S608  names from above


def perform(claimed):
    found = jobs.load([claimed]).get(claimed.id)
    if found is None:
        return registry.Outcome(registry.Done())
    return asyncio.run(registry.kind(claimed.kind).handle(found, None))  # type: ignore[arg-type]  # it makes no calls


def live(world, record, draw):
    """One thing happens."""
    event = draw.choices(["run", "lose", "hand back", "webhook", "wait"], [5, 2, 1, 1, 4])[0]
    claims = [
        claimed
        for found in jobs.claim_lanes({f"p{record.provider_id}": 1}, registry.kinds())
        for claimed in found.claims
    ]
    for claimed in claims:
        if event == "lose":
            if draw.random() < 0.7:
                perform(claimed)
            world.pass_time(registry.kind(claimed.kind).lease + 0.1)
            jobs.recover()
        elif event == "hand back":
            perform(claimed)
            jobs.settle([(claimed, Lost("handed back"))])
        else:
            jobs.settle([(claimed, perform(claimed))])
    if event == "webhook" and world.there and draw.random() < 0.3:
        apply([(record.id, News(Source.WEBHOOK, status=world.truth))])
    if event == "wait" or not claims:
        world.pass_time(draw.choice([0.5, 5.0, 25.0, 80.0]))


@pytest.mark.parametrize("seed", range(100))
def test_it_is_created_once_in_effect(alice, third, monkeypatch, settings, seed):
    draw = random.Random(seed)
    world = World(draw)
    monkeypatch.setitem(ADAPTERS, "http", world)
    settings.MAX_CRASHES = 1000
    change(third, settle_window=WINDOW, create_retry_delay=draw.choice([1.0, 60.0]), poll_cap=30.0)
    record = accepted(alice, third)

    for _ in itertools.takewhile(lambda _: now(record).status == "pending", range(600)):
        live(world, record, draw)

    row = now(record)
    assert world.wrong == []
    if world.appears is None:
        assert (row.status, row.failure_code) == ("failed", "not_created")
    else:
        assert (row.status, row.failure_code == "not_created") == (world.truth, False)
    assert row.review != "contradiction"
    assert [sequence for _, _, sequence, _ in timeline(record) if sequence] == [1, 2]
    assert job(record, "create").state in ("done", "cancelled", "running")
