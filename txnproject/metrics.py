"""`/metrics` for Prometheus. Each request reads PostgreSQL, so all web processes report the same values."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from operators.dashboard.overview import reviews
from workers import statistics as jobs
from workers.foundation.database import rows

_REFUSALS = """
SELECT coalesce(p.slug, ''), r.reason, sum(r.count)::double precision
FROM webhooks_refusalcount r LEFT JOIN providers_provider p ON p.id = r.provider_id
GROUP BY p.slug, r.reason
"""
_BREAKERS = """
SELECT p.slug, b.kind, (b.opened_at IS NOT NULL AND p.circuit_breaker)::int FROM workers_breaker b
JOIN providers_provider p ON b.lane = 'p' || p.id
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
        yield _gauge("relay_reviews", "Transactions that need review", ["reason"], reviews().items())
        refusals = rows(_REFUSALS)
        yield _gauge("relay_webhooks_refused", "Webhooks refused", ["provider", "reason"], refusals)
        help_text = "1 while a circuit breaker holds back a provider's jobs"
        yield _gauge("relay_breaker_open", help_text, ["provider", "kind"], rows(_BREAKERS))
        alive = [one for one in jobs.processes() if one.alive]
        yield _gauge("relay_workers", "Worker processes that report", [], [(len(alive),)])
        yield _gauge("relay_in_flight", "Running jobs in workers", [], [(sum(one.in_flight for one in alive),)])


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all series in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector())
    return HttpResponse(generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8")


def _gauge(name: str, help_text: str, labels: Sequence[str], values: Iterable[Sequence[Any]]) -> Metric:
    """Build a gauge from its values, each preceded by the values of its labels."""
    gauge = GaugeMetricFamily(name, help_text, labels=labels)
    for *of, value in values:
        gauge.add_metric(of, value)
    return gauge
