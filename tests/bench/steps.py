"""Processing steps of a transaction, run by the service's own functions and measured one by one."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from django.db import connection

from operators.dashboard.counting import count_events
from operators.dashboard.overview import overview
from providers.status import Status
from tests.bench import rows
from tests.cast import Caller, Third, accepted, make_client, make_provider
from transactions.observations import Observation
from transactions.status import Source, Submission
from webhooks.outgoing.deliveries import DeliveryResult
from workers import jobs, kinds
from workers.breaker import BreakerStatistics
from workers.dispatcher import Dispatcher
from workers.engine import Engine
from workers.lanes import Lane
from workers.outcomes import Call, Claim, Done, Outcome, Wake

AT_ONCE = 50
STEPS = ("accept", "tick", "claim", "settle", "notify", "count")

Meter = Callable[[str], AbstractContextManager[None]]
"""Context manager that measures the step of this name."""


class Place:
    """Providers and clients of a database, with a dispatcher. The first provider and the first client are measured."""

    def __init__(self, lanes: int = 5) -> None:
        # The first poll is after the end of a cycle, so that only the jobs of the measured step are due.
        self.thirds = [make_provider(f"third-{number}", first_poll=600.0) for number in range(lanes)]
        self.clients = [make_client(f"client-{number}", self.thirds[0].provider) for number in range(lanes)]
        self.dispatcher = Dispatcher(cast(Engine, _Deaf()), queues=["create", "track", "notify"])

    @property
    def third(self) -> Third:
        return self.thirds[0]

    @property
    def client(self) -> Caller:
        return self.clients[0]

    def fill(self, count: int, *, have: int = 0, show: Callable[[int], Any] = lambda made: None) -> None:
        """Create waiting transactions until there are `count`, spread over all providers and clients."""
        providers = [third.provider.pk for third in self.thirds]
        rows.make(count, providers=providers, clients=[one.client.pk for one in self.clients], have=have, show=show)

    def count(self) -> None:
        """Count the minutes that have ended, as the periodic task of the workers does."""
        while count_events():
            pass

    def look(self) -> None:
        """Read all figures of the dashboard."""
        overview(lambda permission: True)

    def mix(self, count: int) -> None:
        """Complete most of the `count` waiting transactions."""
        rows.mix(of=count, providers=[third.provider.pk for third in self.thirds])

    def cycle(self, meter: Meter) -> None:
        """Measure one cycle: accept, dispatcher tick, claim creates, settle as final, notify, count events."""
        for _ in range(AT_ONCE):
            with meter("accept"):
                accepted(self.client, self.third)
        with meter("tick"):
            self.dispatcher.tick()
        with meter("claim"):
            creates = _claim(self.third.settings.lane)
        final = Observation(Source.CREATE, status=Status.COMPLETED, submission=Submission.CREATED)
        with meter("settle"):
            jobs.settle([(claim, Outcome(Done(), final, calls=(_call(),))) for claim in creates])
        with meter("notify"):
            tells = _claim(self.client.settings.lane)
            jobs.settle([(claim, Outcome(Done(), DeliveryResult(confirmed=2), calls=(_call(),))) for claim in tells])
        with meter("count"):
            self.count()


class _Deaf:
    """Replacement for the engine that runs nothing."""

    in_flight = 0
    statistics = BreakerStatistics()

    def unanswered(self) -> int:
        return 0

    def wake(self, lane: str, after: float = 0.0) -> None:
        pass

    def wake_all(self, wakes: Sequence[Wake]) -> None:
        pass


def _claim(lane: Lane) -> list[Claim]:
    # Claim more than are due, as an engine with free capacity does: the search must stop at the first future job.
    asked = jobs.claim_lanes({lane: 2 * AT_ONCE}, kinds.all_kinds())
    found = [claim for lane_claim in asked for claim in lane_claim.claims]
    if len(found) != AT_ONCE:
        raise AssertionError(f"{len(found)} jobs of {lane} were claimed, not {AT_ONCE}: the measurement is invalid")
    return found


def _call() -> Call:
    return Call("POST", "https://third.example/transactions", datetime.now(UTC), 1900, 201, excerpt='{"status": "…"}')


class Seconds:
    """Meter of the duration of each step, in seconds."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.of[step].append(time.perf_counter() - began)


_READ = """
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
"""


class RowsRead:
    """Meter of the rows and index entries that each step reads in total. For tests with `transaction=True`."""

    def __init__(self) -> None:
        self.of: dict[str, int] = defaultdict(int)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        before = _read()
        yield
        self.of[step] += _read() - before


def _read() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # otherwise a session reports its reads once a second
        cursor.execute(_READ)
        return int(cursor.fetchone()[0])
