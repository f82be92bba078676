"""`/metrics` for Prometheus. It is read from PostgreSQL, so all web processes report the same values."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from threading import Condition
from typing import Any

from cachetools import TTLCache, cached
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clients.endpoints import FAILING_AFTER
from clients.models import Client
from operators.dashboard.overview import reviews
from providers.models import Provider
from transactions import sql
from transactions.models import LostCommits
from webhooks.incoming import unmatched
from workers import clock
from workers import statistics as jobs
from workers.breaker import FAILING
from workers.foundation.database import retry_once, rows
from workers.models import Breaker

FRESH = 1.0
"""Seconds for which a web process keeps the series: `/metrics` needs no login, and each reading costs many queries."""

_REFUSALS = """
SELECT coalesce(p.slug, ''), r.reason, sum(r.count)::double precision
FROM webhooks_refusalcount r LEFT JOIN providers_provider p ON p.id = r.provider_id
GROUP BY p.slug, r.reason
"""


class ServiceCollector(Collector):
    """All series of the service. Counts are exact: the cost of `relay_jobs` grows with the due and failed jobs."""

    def collect(self) -> Iterator[Metric]:
        queues = jobs.queues()
        numbers = [(one.kind, state, getattr(one, state)) for one in queues for state in ("due", "running", "failed")]
        yield _gauge(
            "relay_jobs", "Jobs that are due, running or failed", ["kind", "state"], [row for row in numbers if row[-1]]
        )
        ages = [(one.kind, one.oldest) for one in queues if one.due]
        yield _gauge("relay_oldest_due_seconds", "Age of the oldest due job", ["kind"], ages)
        flagged = [(one.reason, one.number) for one in reviews()]
        yield _gauge("relay_reviews", "Transactions that need review", ["reason"], flagged)
        refusals = rows(_REFUSALS)
        yield _gauge("relay_webhooks_refused", "Webhooks refused", ["provider", "reason"], refusals)
        help_text = "Authentic webhooks of the last day that match no transaction"
        yield _gauge("relay_webhooks_unmatched", help_text, [], [(unmatched.count(),)])
        lost = LostCommits.objects.filter(noticed_at__gt=Now() - timedelta(days=7)).count()
        yield _gauge("relay_commits_lost", "Losses of commits noticed by workers in the last week", [], [(lost,)])
        yield from _providers()
        yield _gauge("relay_endpoint_failing", "1 while a client's endpoint fails", ["client"], _failing_endpoints())
        help_text = "Age of the oldest pending transaction"
        yield _gauge("relay_oldest_pending_seconds", help_text, ["provider"], rows(sql.OLDEST_PENDING))
        help_text = "Age of the oldest final status that the client has not confirmed"
        yield _gauge("relay_oldest_undelivered_seconds", help_text, ["client"], rows(sql.OLDEST_UNDELIVERED))
        alive = [one for one in jobs.processes() if one.alive]
        yield _gauge("relay_workers", "Worker processes that report", [], [(len(alive),)])
        yield _gauge("relay_in_flight", "Running jobs in workers", [], [(sum(one.in_flight for one in alive),)])
        help_text = "Lead of wall clocks over the database's: this web process's, and the worst of the workers'"
        skews = [("web", clock.database.skew()), ("workers", jobs.worst_skew(alive))]
        yield _gauge("relay_clock_skew_seconds", help_text, ["of"], skews)


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all series in the text format of Prometheus."""
    return HttpResponse(series(), content_type="text/plain; version=0.0.4; charset=utf-8")


@cached(TTLCache(1, FRESH), condition=Condition())
def series() -> bytes:
    """Return all series as text, at most `FRESH` seconds old. One thread reads them; others wait for its result."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector())
    return retry_once(lambda: generate_latest(registry))


def _providers() -> Iterator[Metric]:
    """Yield the series of each kind of job that a provider has had."""
    known: dict[str, Provider] = {one.lane: one for one in Provider.objects.only("slug", "circuit_breaker")}
    found = [(known[row.lane], row) for row in Breaker.objects.annotate(fails=FAILING) if row.lane in known]
    labels = ["provider", "kind"]
    is_open = [(of.slug, row.kind, int(of.circuit_breaker and row.opened_at is not None)) for of, row in found]
    yield _gauge("relay_breaker_open", "1 while a circuit breaker holds back a provider's jobs", labels, is_open)
    fails = [(of.slug, row.kind, int(row.fails or 0)) for of, row in found]
    yield _gauge("relay_provider_failing", "1 while all calls to a provider fail", labels, fails)


def _failing_endpoints() -> list[tuple[str, int]]:
    """Return the numbers of the clients whose endpoint fails. `/metrics` is public, so it names no client."""
    failing = Client.objects.filter(endpoint_failing_since__lte=Now() - timedelta(seconds=FAILING_AFTER))
    return [(str(key), 1) for key in failing.order_by("pk").values_list("pk", flat=True)]


def _gauge(name: str, help_text: str, labels: Sequence[str], values: Iterable[Sequence[Any]]) -> Metric:
    """Build a gauge from its values, each preceded by the values of its labels."""
    gauge = GaugeMetricFamily(name, help_text, labels=labels)
    for *of, value in values:
        gauge.add_metric(of, value)
    return gauge
