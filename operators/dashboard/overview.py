"""Figures of the dashboard, read in a fixed number of queries, each bounded by an index or a limit.

A part that the reader may not view is None.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import DateTimeField, F, Func, Max, Q, Sum, Value
from django.db.models.functions import Now
from django.utils import timezone

from clients.models import Client, without_callback_secret
from operators.dashboard import counting
from operators.models import MinuteCount
from providers.models import Provider, without_webhook_secret
from providers.status import FINAL, Status
from transactions import sql
from transactions.models import LostCommits
from transactions.status import Review
from webhooks.incoming import unmatched
from workers import statistics as jobs
from workers.breaker import FAILING
from workers.foundation.database import rows
from workers.foundation.formatting import MOST, at_most
from workers.lanes import Lane
from workers.models import Breaker
from workers.statistics import Calls, Process, Queue

MOST_ENDPOINTS = 20
BROUGHT = ("accepted", *map(str, FINAL))
"""Names of the counts of a column, in the order of `Status`."""
EVER = 3e7
"""Look-ahead in seconds; effectively unlimited."""
EPOCH = datetime.fromtimestamp(0, UTC)


class Column(NamedTuple):
    """Counts of one period that starts at `at`, by the names in `BROUGHT`."""

    at: datetime
    counts: dict[str, int]


class Flow(NamedTuple):
    """Transactions by status, now and over time."""

    totals: dict[Status, int]
    """Pending ones now, up to `MOST`, beyond that as of `as_of`; final ones as of `as_of`, exact."""
    as_of: datetime
    """The end of the last minute that was counted."""
    hour: list[Column]
    """By minute, up to `as_of`."""
    day: list[Column]
    """By quarter of an hour, up to the last whole one."""
    times: dict[int, float]
    """Seconds from acceptance to the final status, by percentile, of those that became final in the last hour."""

    @property
    def minute(self) -> dict[str, int]:
        """Counts of the last minute."""
        return self.hour[-1].counts

    @property
    def final_a_minute(self) -> int:
        return sum(self.minute[status] for status in FINAL)

    @property
    def age(self) -> float:
        """Seconds since `as_of`."""
        return (timezone.now() - self.as_of).total_seconds()


class Flagged(NamedTuple):
    """The number of transactions that need review for this reason, and the explanation of the newest one."""

    reason: Review
    number: int
    why: str


class ProviderHealth(NamedTuple):
    """A provider (few of its fields are loaded) with the state of its jobs and calls."""

    provider: Provider
    held_back: tuple[str, ...]
    """The kinds of jobs whose circuit breaker is open."""
    failing: dict[str, datetime]
    """Of the other kinds: those whose runs all fail, and since when."""
    due: int
    in_flight: int
    calls: Calls | None
    """None if there were no recent calls."""


class Endpoint(NamedTuple):
    """A client whose endpoint fails or is disabled, or that lacks a secret, and the number of its notifications."""

    client: Client
    waiting: int


class Overview(NamedTuple):
    """All figures of the dashboard."""

    flow: Flow | None
    """None also before the first count."""
    reviews: list[Flagged] | None
    queues: list[Queue] | None
    processes: list[Process] | None
    providers: list[ProviderHealth] | None
    endpoints: list[Endpoint] | None
    unmatched: int | None
    """Webhooks of the last day that match no transaction, up to `MOST`."""
    commits_lost: datetime | None
    """The time at which a worker last noticed that the database had lost commits; None if not within a week."""
    set_up: bool
    """True if there are a provider and a client."""

    @property
    def alive(self) -> list[Process]:
        return [one for one in self.processes or () if one.alive]

    @property
    def lag(self) -> float | None:
        """Whole seconds since any worker last reported, at least one; None if that is more than an hour ago."""
        return max(1.0, round(self.processes[0].silence)) if self.processes else None

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight for one in self.alive)

    @property
    def versions(self) -> list[str]:
        """Versions of the running processes, including this one."""
        return sorted({settings.VERSION, *(one.version for one in self.alive)})


def overview(may: Callable[[str], bool]) -> Overview:
    """Read the figures for a reader; `may` tells if they have a permission, such as `providers.view_provider`."""
    sees_transactions = may("transactions.view_transaction")
    return Overview(
        flow=_flow() if sees_transactions else None,
        reviews=reviews(MOST) if sees_transactions else None,
        queues=jobs.queues(MOST) if may("workers.view_job") else None,
        processes=jobs.processes() if may("workers.view_workerprocess") else None,
        providers=_providers() if may("providers.view_provider") else None,
        endpoints=_endpoints() if may("clients.view_client") else None,
        unmatched=at_most(unmatched.count(), MOST) if may("webhooks.view_webhook") else None,
        commits_lost=_commits_lost() if sees_transactions else None,
        set_up=Provider.objects.exists() and Client.objects.exists(),
    )


def _commits_lost() -> datetime | None:
    lately = LostCommits.objects.filter(noticed_at__gt=Now() - timedelta(days=7))
    return lately.order_by("-pk").values_list("noticed_at", flat=True).first()


def reviews(most: int | None = None) -> list[Flagged]:
    """Count the transactions that need review, by reason, up to `most` each; reasons without any are left out."""
    found = rows(sql.REVIEWS, reasons=Review.values, most=most)
    return [Flagged(Review(reason), at_most(count, most), why) for reason, count, why in found if count]


def percentile(buckets: Sequence[tuple[int, int]], share: float) -> float:
    """Return the seconds that this share of the transactions took at most; `buckets` are (bucket, count), ascending."""
    reached = list(accumulate(count for _, count in buckets))
    bucket, _ = buckets[bisect_left(reached, share * reached[-1])]
    return counting.seconds(bucket)


def _flow() -> Flow | None:
    if not (counted := list(MinuteCount.objects.values_list("status").annotate(Sum("count"), Max("minute")))):
        return None
    as_of = max(last for *_, last in counted) + counting.MINUTE
    totals = dict.fromkeys(Status, 0) | {Status(status): count for status, count, _ in counted}
    [(pending,)] = rows(sql.PENDING, most=MOST)  # counted now up to `MOST`, beyond that as of the last minute
    counted_pending = totals[Status.PENDING] - sum(totals[status] for status in FINAL)
    totals[Status.PENDING] = pending if pending < MOST else max(at_most(pending, MOST), counted_pending)
    times = MinuteCount.objects.filter(minute__gte=as_of - timedelta(hours=1), status__in=FINAL, bucket__gte=0)
    buckets = list(times.values_list("bucket").annotate(Sum("count")).order_by("bucket"))
    return Flow(
        totals=totals,
        as_of=as_of,
        hour=_columns(counting.MINUTE, 60, as_of),
        day=_columns(timedelta(minutes=15), 96, as_of),
        times={p: percentile(buckets, p / 100) for p in (50, 95, 99)} if buckets else {},
    )


def _columns(width: timedelta, number: int, until: datetime) -> list[Column]:
    """Return this number of adjacent columns; the last one ends at `until` or before."""
    first = until - (until - EPOCH) % width - number * width
    start = Func(Value(width), F("minute"), Value(EPOCH), function="date_bin", output_field=DateTimeField())
    kept = MinuteCount.objects.filter(minute__gte=first, bucket__gte=0)
    counts = {(at, status): n for at, status, n in kept.values_list(start, "status").annotate(Sum("count"))}
    return [
        Column(at, {name: counts.get((at, status), 0) for name, status in zip(BROUGHT, Status, strict=True)})
        for at in (first + n * width for n in range(number))
    ]


def _providers() -> list[ProviderHealth]:
    fields = ("slug", "paused", "paused_why", "circuit_breaker", "max_in_flight")
    providers = list(Provider.objects.only(*fields).annotate(**{"lacks_secret": without_webhook_secret()}))
    lanes = jobs.lanes(one.lane for one in providers)
    calls = jobs.latest_calls()
    breakers = list(Breaker.objects.annotate(fails=FAILING))
    return [_health(one, breakers, lanes[one.lane], calls.get(one.lane)) for one in providers]


def _health(provider: Any, breakers: Sequence[Any], jobs_of: tuple[int, int], calls: Calls | None) -> ProviderHealth:
    own = [row for row in breakers if row.lane == provider.lane]
    held_back = tuple(row.kind for row in own if row.opened_at and provider.circuit_breaker)
    failing = {row.kind: row.failing_since for row in own if row.fails and row.kind not in held_back}
    return ProviderHealth(provider, held_back, failing, *jobs_of, calls)


def _endpoints() -> list[Endpoint]:
    """Return endpoints that get nothing: without a secret first, then disabled, then those that fail for longest."""
    fails = Q(endpoint_failing_since__isnull=False) | Q(endpoint_disabled_at__isnull=False) | without_callback_secret()
    found = Client.objects.annotate(**{"lacks_secret": without_callback_secret()}).filter(fails)
    order = (F("lacks_secret").desc(), "endpoint_disabled_at", "endpoint_failing_since")
    clients = found.order_by(*order)[:MOST_ENDPOINTS]
    lanes = jobs.lanes((Lane.client(one.pk) for one in clients), within=EVER)
    return [Endpoint(one, lanes[Lane.client(one.pk)][0]) for one in clients]
