"""The operators' first page: what needs them first, then how everything goes.

`overview` reads it; here it becomes sentences, links and charts. The page is complete when it arrives; a script
replaces its middle with what `/admin/overview/` answers, every few seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from transactions.overview import Overview, overview
from txnproject import health
from txnproject.charts import Chart, stacked
from txnproject.templatetags.relay import number
from workers.admin.bases import change_url
from workers.figures import span

LATE = 60.0
"""Seconds that a job may be due before somebody should look why."""
LONG = 600.0
"""Seconds for which an endpoint may fail before it is worth a line."""
RECENT = 300.0
"""Seconds for which a worker that has gone silent is worth one."""

May = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """Something that somebody should look at; `urgent` when they must act, or nothing goes on."""

    text: str
    url: str = ""
    urgent: bool = False


def fragment(request: HttpRequest) -> HttpResponse:
    """The part of the page that is replaced."""
    return render(request, "admin/relay/dashboard.html", context(request))


def context(request: HttpRequest) -> dict[str, Any]:
    seen = overview(request.user.has_perm)
    lines = [line for source in LINES for line in source(seen, request.user.has_perm)]
    return {
        "overview": seen,
        "lines": sorted(lines, key=lambda line: not line.urgent),
        "charts": _charts(seen),
        "made_at": timezone.now(),
    }


def rows(model: str, **params: Any) -> str:
    """The address of a list, such as `transactions_transaction`, with these filters."""
    query = f"?{urlencode(params)}" if params else ""
    return reverse(f"admin:{model}_changelist") + query


def _charts(seen: Overview) -> list[Chart]:
    if seen.flow is None:
        return []
    return [
        stacked("hour", "The last hour: transactions a minute", seen.flow.hour, labels=5),
        stacked("day", "The last 24 hours: transactions in 15 minutes", seen.flow.day, labels=5),
    ]


def _workers(seen: Overview, may: May) -> Iterable[Line]:
    if seen.processes is None:
        return
    url = rows("workers_workerprocess")
    if not any(one.alive for one in seen.processes):
        last = f" The last sign of life came {span(seen.processes[0].silence)} ago." if seen.processes else ""
        yield Line(f"No worker is alive: nothing is created, polled or told.{last}", url, urgent=True)
        return
    for one in seen.processes:
        if not one.alive and one.silence < RECENT:
            yield Line(f"Nothing was heard of worker {one.name} for {span(one.silence)}: others finish its work.", url)


def _broker(seen: Overview, may: May) -> Iterable[Line]:
    if not health.broker()["ok"]:
        yield Line("The broker cannot be reached. Nothing is lost, but each step may start a second later.")


def _reviews(seen: Overview, may: May) -> Iterable[Line]:
    for reason, count in (seen.reviews or {}).items():
        need = "transaction needs" if count == 1 else "transactions need"
        url = rows("transactions_transaction", review=reason)
        yield Line(f"{number(count)} {need} a look: {reason.label}.", url, urgent=True)


def _providers(seen: Overview, may: May) -> Iterable[Line]:
    for one in seen.providers or ():
        it, url, wait = one.provider, change_url(one.provider), _wait(one.due, "job")
        if it.paused:
            why = f": {it.paused_why}" if it.paused_why else ""
            yield Line(f"Provider {it} is paused{why}.{wait}", url, urgent=True)
        elif one.held_back:
            what = " and ".join(one.held_back)
            said = f"Provider {it} fails: its {what} jobs are held back, but for a try every few seconds.{wait}"
            yield Line(said, url)


def _endpoints(seen: Overview, may: May) -> Iterable[Line]:
    for one in seen.endpoints or ():
        it, url, wait = one.client, change_url(one.client), _wait(one.waiting, "notification")
        since = it.endpoint_failing_since
        if it.endpoint_disabled_at:
            yield Line(f"The endpoint of {it} is disabled: {it.endpoint_disabled_why}.{wait}", url, urgent=True)
        elif since and (seconds := (timezone.now() - since).total_seconds()) > LONG:
            yield Line(f"The endpoint of {it} has failed for {span(seconds)}.{wait}", url)


def _late(seen: Overview, may: May) -> Iterable[Line]:
    """Jobs that wait although nothing holds them back. Who may not see what might do so is told nothing."""
    if seen.providers is None or seen.endpoints is None:
        return
    stopped = any(one.provider.paused or one.held_back for one in seen.providers)
    disabled = any(one.client.endpoint_disabled_at for one in seen.endpoints)
    for queue in seen.queues or ():
        if queue.oldest > LATE and not (disabled if queue.kind == "notify" else stopped):
            url = rows("workers_job", kind=queue.kind, due=1)
            yield Line(f"A {queue.kind} job has been due for {span(queue.oldest)}: the workers do not keep up.", url)


def _wait(count: int, what: str) -> str:
    if not count:
        return ""
    return f" 1 {what} waits." if count == 1 else f" {number(count)} {what}s wait."


def _counts(seen: Overview, may: May) -> Iterable[Line]:
    """Counting has stopped, though workers live. While it catches up, the heading says so."""
    if seen.alive and seen.flow and seen.counted == 1 and seen.flow.age > LATE:
        yield Line(f"Transactions have not been counted for {span(seen.flow.age)}: see the workers' log.")


LINES: tuple[Callable[[Overview, May], Iterable[Line]], ...] = (
    _workers, _broker, _reviews, _providers, _endpoints, _late, _counts,
)  # fmt: skip
"""Who adds a line: each is given what the page shows, and what its reader may."""
