"""`/metrics` for Prometheus: read from PostgreSQL when asked, so they are true whatever process answers."""

from collections.abc import Iterator

from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.models import WorkerProcess
from workers.sql import COUNTS

_REVIEWS = "SELECT review, count(*) FROM transactions_transaction WHERE review <> '' GROUP BY review"
_REFUSALS = """
SELECT coalesce(p.slug, ''), r.reason, sum(r.count)::double precision
FROM webhooks_refusalcount r LEFT JOIN transactions_provider p ON p.id = r.provider_id
GROUP BY p.slug, r.reason
"""
_BREAKERS = """
SELECT p.slug, b.kind, (b.opened_at IS NOT NULL AND p.circuit_breaker)::int FROM workers_breaker b
JOIN transactions_provider p ON b.lane = 'p' || p.id
"""
_WORKERS = """
SELECT count(*), coalesce(sum(in_flight), 0)::int FROM workers_workerprocess
WHERE beat_at > now() - %s * interval '1 second'
"""


class ServiceCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("relay_jobs", "Jobs that are due, running or failed", labels=["kind", "state"])
        age = GaugeMetricFamily("relay_oldest_due_seconds", "Age of the oldest due job", labels=["kind"])
        reviews = GaugeMetricFamily("relay_reviews", "Transactions that need an operator", labels=["reason"])
        refusals = GaugeMetricFamily(
            "relay_webhooks_refused", "Webhooks refused", labels=["provider", "reason"]
        )  # fmt: skip
        breakers = GaugeMetricFamily(
            "relay_breaker_open", "1 while a circuit breaker holds back a provider's jobs", labels=["provider", "kind"]
        )
        with connection.cursor() as cursor:
            cursor.execute(COUNTS)
            for kind, state, count, oldest in cursor.fetchall():
                jobs.add_metric([kind, state], count)
                if state == "due":
                    age.add_metric([kind], oldest)
            cursor.execute(_REVIEWS)
            for reason, count in cursor.fetchall():
                reviews.add_metric([reason], count)
            cursor.execute(_REFUSALS)
            for provider, reason, count in cursor.fetchall():
                refusals.add_metric([provider, reason], count)
            cursor.execute(_BREAKERS)
            for provider, kind, is_open in cursor.fetchall():
                breakers.add_metric([provider, kind], is_open)
            cursor.execute(_WORKERS, [WorkerProcess.SILENT_AFTER])
            workers, in_flight = cursor.fetchone()
        yield from (jobs, age, reviews, refusals, breakers)
        yield GaugeMetricFamily("relay_workers", "Worker processes that report", value=workers)
        yield GaugeMetricFamily("relay_in_flight", "Jobs under way in them", value=in_flight)


def metrics(request: HttpRequest) -> HttpResponse:
    registry = CollectorRegistry()
    registry.register(ServiceCollector())
    return HttpResponse(generate_latest(registry), content_type="text/plain; version=0.0.4; charset=utf-8")
