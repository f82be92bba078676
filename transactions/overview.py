"""What the dashboard shows, read in a bounded number of queries, each bounded by an index or a limit.

Nobody is shown what they may not view: such a part is None.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField, F, Func, Q, Sum, Value
from django.db.models.functions import Now

from transactions import counting, sql
from transactions.models import Client, Duration, Minute, Provider, Totals
from transactions.status import FINAL, Review, Status
from workers import overview as jobs
from workers.figures import MOST, at_most
from workers.models import Breaker
from workers.overview import Calls, Process, Queue, Running

MOST_ENDPOINTS = 20
BROUGHT = ("accepted", *map(str, FINAL))
"""What is counted of each minute."""
EVER = 3e7
"""Seconds within which a job is due that waits at all."""
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Column:
    """What one stretch of time brought: `counts` by the names in `BROUGHT`."""

    at: datetime
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """Transactions by status, now and over time, as they have been counted."""

    totals: dict[Status, int]
    as_of: datetime
    age: float
    """Seconds since then."""
    hour: list[Column]
    """By minute, up to the last whole one."""
    day: list[Column]
    """By a quarter of an hour, up to the last whole one."""
    times: dict[int, float]
    """Seconds from acceptance to the final status, by percentile, of those that became final in the last hour."""

    @property
    def minute(self) -> dict[str, int]:
        """What the last whole minute brought."""
        return self.hour[-1].counts

    @property
    def final_a_minute(self) -> int:
        return sum(self.minute[status] for status in FINAL)


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """A provider (of which little has been read), and how it does."""

    provider: Provider
    held_back: tuple[str, ...]
    """The kinds of jobs whose circuit breaker is open."""
    in_flight: int
    due: int
    calls: Calls | None
    """None: none was made lately."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A client whose endpoint fails or is disabled, and how many notifications wait for it."""

    client: Client
    waiting: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the dashboard shows."""

    flow: Flow | None
    """None as well until all has been counted for the first time."""
    counted: float
    """How much of the timelines has been counted, from 0 to 1."""
    reviews: dict[Review, int] | None
    queues: list[Queue] | None
    processes: list[Process] | None
    providers: list[ProviderHealth] | None
    endpoints: list[Endpoint] | None
    set_up: bool
    """Whether there are a provider and a client."""

    @property
    def alive(self) -> list[Process]:
        return [one for one in self.processes or () if one.alive]

    @property
    def lag(self) -> float | None:
        """Whole seconds since the last sign of life of any worker, one at least; None: there was none for an hour."""
        return max(1.0, round(self.processes[0].silence)) if self.processes else None

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight for one in self.alive)

    @property
    def versions(self) -> list[str]:
        """Those that run, this process's included."""
        return sorted({settings.VERSION, *(one.version for one in self.alive)})


def overview(may: Callable[[str], bool]) -> Overview:
    """Read it for somebody with the permissions that `may` says, such as `transactions.view_provider`."""
    running = jobs.running()
    providers = list(_providers() if may("transactions.view_provider") else ())
    clients = list(_failing() if may("transactions.view_client") else ())
    due = jobs.due_in({one.lane: 0.0 for one in providers} | {f"c{one.pk}": EVER for one in clients})
    totals = Totals.objects.annotate(now=Now()).first() if may("transactions.view_transaction") else None
    return Overview(
        flow=_flow(totals, totals.as_of, totals.now) if totals and totals.as_of else None,
        counted=totals.counted / totals.newest if totals and totals.newest else 1.0,
        reviews=_reviews() if may("transactions.view_transaction") else None,
        queues=jobs.queues(running) if may("workers.view_job") else None,
        processes=jobs.processes() if may("workers.view_workerprocess") else None,
        providers=_health(providers, running, due) if may("transactions.view_provider") else None,
        endpoints=[Endpoint(one, due[f"c{one.pk}"]) for one in clients] if may("transactions.view_client") else None,
        set_up=Provider.objects.exists() and Client.objects.exists(),
    )


def percentile(buckets: Sequence[tuple[int, int]], share: float) -> float:
    """The time within which so large a share came: of buckets and their counts, the shortest first and not empty."""
    reached = list(accumulate(count for _, count in buckets))
    bucket, _ = buckets[bisect_left(reached, share * reached[-1])]
    return counting.seconds(bucket)


def _flow(totals: Totals, as_of: datetime, now: datetime) -> Flow:
    times = Duration.objects.filter(minute__gte=as_of - timedelta(hours=1)).values_list("bucket")
    buckets = list(times.annotate(n=Sum("count")).order_by("bucket"))
    return Flow(
        totals={status: getattr(totals, status) for status in Status},
        as_of=as_of,
        age=(now - as_of).total_seconds(),
        hour=_columns(timedelta(minutes=1), 60, as_of),
        day=_columns(timedelta(minutes=15), 96, as_of),
        times={p: percentile(buckets, p / 100) for p in (50, 95, 99)} if buckets else {},
    )


def _columns(width: timedelta, count: int, until: datetime) -> list[Column]:
    """So many columns of this width without a gap, the last one over by then."""
    last = until - (until - EPOCH) % width - width
    start = Func(Value(width), F("minute"), Value(EPOCH), function="date_bin", output_field=DateTimeField())
    minutes = Minute.objects.filter(minute__gt=last - count * width).values(start=start)
    found: dict[datetime, Any] = {
        row["start"]: row for row in minutes.annotate(**{name: Sum(name) for name in BROUGHT})
    }
    times = [last - n * width for n in reversed(range(count))]
    return [Column(at, {name: found[at][name] if at in found else 0 for name in BROUGHT}) for at in times]


def _reviews() -> dict[Review, int]:
    with connection.cursor() as cursor:
        cursor.execute(sql.REVIEWS, {"reasons": Review.values, "most": MOST})
        return {Review(reason): at_most(count, MOST) for reason, count in cursor.fetchall() if count}


def _providers() -> Iterable[Provider]:
    return Provider.objects.only("slug", "paused", "paused_why", "circuit_breaker", "max_in_flight")


def _health(providers: Iterable[Provider], running: Running, due: dict[str, int]) -> list[ProviderHealth]:
    calls = jobs.latest_calls()
    is_open = list(Breaker.objects.filter(opened_at__isnull=False).values_list("lane", "kind"))
    return [
        ProviderHealth(
            provider=one,
            held_back=tuple(kind for lane, kind in is_open if lane == one.lane and one.circuit_breaker),
            in_flight=sum(n for (lane, _), n in running.items() if lane == one.lane),
            due=due[one.lane],
            calls=calls.get(one.lane),
        )
        for one in providers
    ]


def _failing() -> Iterable[Client]:
    """Disabled ones first, and those that have failed for longest."""
    fails = Q(endpoint_failing_since__isnull=False) | Q(endpoint_disabled_at__isnull=False)
    return Client.objects.filter(fails).order_by("endpoint_disabled_at", "endpoint_failing_since")[:MOST_ENDPOINTS]
