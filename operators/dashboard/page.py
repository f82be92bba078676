"""Dashboard: lines that need attention first, then figures and charts.

`operators.dashboard.overview` reads the figures; this module turns them into sentences, links and charts. The page is
complete when it arrives; a script replaces its middle with `/admin/overview/` every few seconds.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from clients.endpoints import FAILING_AFTER
from clients.models import UNSIGNED
from operators.dashboard.charts import Chart, stacked
from operators.dashboard.overview import Flow, Overview, overview
from operators.pages.base import change_url
from operators.templatetags.relay import number
from providers.models import UNVERIFIABLE
from workers.broker import check_broker
from workers.foundation.formatting import span

LATE = 60.0
"""Seconds after which a due job, or counting a minute, is reported as late."""
RECENT = 300.0
"""Seconds for which a worker that has stopped reporting is listed."""


class Line(NamedTuple):
    """Something that needs attention; `urgent` if work has stopped or a person must act."""

    text: str
    url: str = ""
    urgent: bool = False


def fragment(request: HttpRequest) -> HttpResponse:
    """Render the part of the page that is replaced."""
    return render(request, "admin/relay/dashboard.html", context(request))


def context(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the dashboard's templates: what this user may view, urgent lines first."""
    seen = overview(request.user.has_perm)
    sources = (_workers, _broker, _commits_lost, _reviews, _providers, _endpoints, _unmatched, _late, _counts)
    lines = chain.from_iterable(source(seen) for source in sources)
    return {
        "overview": seen,
        "lines": sorted(lines, key=lambda line: not line.urgent),
        "charts": _charts(seen.flow) if seen.flow else [],
        "made_at": timezone.now(),
    }


def rows(model: str, **params: Any) -> str:
    """Return the address of a list, such as `transactions_transaction`, with these filters."""
    return reverse(f"admin:{model}_changelist", query=params)


def _charts(flow: Flow) -> list[Chart]:
    return [
        stacked("hour", "Last hour: transactions per minute", flow.hour, labels=5),
        stacked("day", "Last 24 hours: transactions per 15 minutes", flow.day, labels=5),
    ]


def _workers(seen: Overview) -> Iterable[Line]:
    url = rows("workers_workerprocess")
    if seen.processes is not None and not seen.alive:
        last = f" The last report came {span(seen.processes[0].silence)} ago." if seen.processes else ""
        text = "No worker is running: transactions are not created, polled or notified."
        yield Line(text + last, url, urgent=True)
    for one in seen.processes or ():
        if seen.alive and not one.alive and one.silence < RECENT:
            text = f"Worker {one.name} has not reported for {span(one.silence)}: other workers take over its jobs."
            yield Line(text, url)


def _broker(seen: Overview) -> Iterable[Line]:
    if error := check_broker().get("error"):
        yield Line(f"The broker does not work ({error}). No work is lost, but each step may start a second later.")


def _commits_lost(seen: Overview) -> Iterable[Line]:
    if at := seen.commits_lost:
        text = f"The database has lost its last commits, noticed {at:%Y-%m-%d %H:%M:%S} UTC: see docs/operating.md."
        yield Line(text, urgent=True)


def _unmatched(seen: Overview) -> Iterable[Line]:
    if count := seen.unmatched:
        text = f"{number(count)} {'webhook' if count == 1 else 'webhooks'} of the last day matched no transaction."
        yield Line(text, rows("webhooks_webhook", result="unmatched"))


def _reviews(seen: Overview) -> Iterable[Line]:
    for reason, count, why in seen.reviews or ():
        text = f"{number(count)} {'transaction needs' if count == 1 else 'transactions need'} review: {reason.label}."
        newest = f" The newest: {why}." if why else ""
        yield Line(text + newest, rows("transactions_transaction", review=reason), urgent=True)


def _providers(seen: Overview) -> Iterable[Line]:
    for one in seen.providers or ():
        provider, url, queued = one.provider, change_url(one.provider), _queued(one.due, "job")
        if provider.paused:
            why = f": {provider.paused_why}" if provider.paused_why else ""
            yield Line(f"Provider {provider} is paused{why}.{queued}", url, urgent=True)
            continue
        if one.held_back:
            kinds = " and ".join(one.held_back)
            text = f"Provider {provider} fails: its {kinds} jobs are held back, except for a probe every few seconds."
            yield Line(text + queued, url)
        if one.failing:
            kinds = " and ".join(one.failing)
            seconds = (timezone.now() - min(one.failing.values())).total_seconds()
            yield Line(f"Provider {provider} fails: all its {kinds} runs have failed for {span(seconds)}.{queued}", url)
        if provider.lacks_secret:
            yield Line(f"Provider {provider} {UNVERIFIABLE}.", url)


def _endpoints(seen: Overview) -> Iterable[Line]:
    for one in seen.endpoints or ():
        client, url, queued = one.client, change_url(one.client), _queued(one.waiting, "notification")
        since = client.endpoint_failing_since
        if client.lacks_secret:
            yield Line(f"Client {client} {UNSIGNED}.{queued}", url, urgent=True)
        if client.endpoint_disabled_at:
            text = f"The endpoint of {client} is disabled: {client.endpoint_disabled_why}.{queued}"
            yield Line(text, url, urgent=True)
        elif since and (seconds := (timezone.now() - since).total_seconds()) > FAILING_AFTER:
            yield Line(f"The endpoint of {client} has failed for {span(seconds)}.{queued}", url)


def _late(seen: Overview) -> Iterable[Line]:
    """Report due jobs that nothing holds back, to readers who can see everything that might hold them back."""
    if seen.providers is None or seen.endpoints is None:
        return
    stopped = any(one.provider.paused or one.held_back for one in seen.providers)
    disabled = any(one.client.lacks_secret or one.client.endpoint_disabled_at for one in seen.endpoints)
    for queue in seen.queues or ():
        if queue.oldest > LATE and not (disabled if queue.kind == "notify" else stopped):
            text = f"A {queue.kind} job has been due for {span(queue.oldest)}: the workers do not keep up."
            yield Line(text, rows("workers_job", kind=queue.kind, due=1))


def _counts(seen: Overview) -> Iterable[Line]:
    """Report that counting is late although workers run."""
    if seen.alive and seen.flow and seen.flow.age > 60 + LATE:
        yield Line(f"Transaction counts are {span(seen.flow.age)} old. If this does not shrink, see the workers' log.")


def _queued(count: int, what: str) -> str:
    several = f" {number(count)} {what}s are queued." if count else ""
    return f" 1 {what} is queued." if count == 1 else several
