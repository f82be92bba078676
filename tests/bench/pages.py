"""`make bench-pages`: response times of the admin over a million transactions, their jobs and webhooks.

The benchmark uses an embedded PostgreSQL with autovacuum off, so that all figures refer to one state. It requests each
page as a superuser through Django's test client, so it measures the time of the server and not that of the browser.
Then it measures the queries of all pairs of filters, and prints the slowest ones.
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from devstack.environment import new_secrets, service_environment
from devstack.processes import StackError, end_on_signals
from devstack.stores import temporary_stores

if TYPE_CHECKING:  # imports of Django need its settings
    from django.db.models import Model

    from tests.bench.steps import Place

MOST = 0.3
"""Limit in seconds."""
TIMES, SHOWN = 5, 10


def main() -> int:
    """Run the benchmark. Return 0 if every page and every pair of filters takes at most MOST."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description="Response times of the admin.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions (default: 1000000)")
    given = parser.parse_args()
    end_on_signals()
    try:
        with temporary_stores() as stores:
            urls = {"database_url": stores.database_url, "broker_url": stores.broker_url}
            os.environ.update(service_environment(new_secrets(), public_url="http://testserver", **urls))
            os.environ["LOG_LEVEL"] = "WARNING"
            import django

            django.setup()
            return bench(Console(highlight=False, width=110), given.rows)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def bench(console: Console, count: int) -> int:
    """Create the rows, measure, and print the results. Return 1 if a figure exceeds MOST."""
    place = _fill(console, count)
    pages = {name: _measured(asking) for name, asking in _pages(place, count)}
    _show(console, "pages, median of 5", pages)
    pairs = {name: _measured(asking) for name, asking in _pairs()}
    slowest = dict(sorted(pairs.items(), key=lambda pair: -pair[1])[:SHOWN])
    _show(console, f"the slowest of {len(pairs)} pairs of filters", slowest)
    worst = max(*pages.values(), *pairs.values())
    console.print(f"The slowest took {worst * 1000:.0f} ms; the limit is {MOST * 1000:.0f} ms.")
    return int(worst > MOST)


def _fill(console: Console, count: int) -> "Place":
    from django.core.management import call_command
    from django.db import connection

    from tests.bench.steps import Place
    from tests.bench.waiting import check_disk

    check_disk(count)
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum = off")
        cursor.execute("SELECT pg_reload_conf()")
    call_command("migrate", verbosity=0)
    began, place = time.monotonic(), Place()
    with connection.cursor() as cursor, console.status("") as status:
        cursor.execute("SET statement_timeout = 0")
        place.fill(count, show=lambda made: status.update(f"{made:,} transactions"))
        status.update("Completing most of them")
        place.mix(count)
        cursor.execute("RESET statement_timeout")
    console.print(f"{count:,} transactions, created in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    place.count()
    each = (time.monotonic() - began) / count
    console.print(f"Counting their events for the dashboard took {each * 1e6:.1f} µs each")
    return place


def _pages(place: "Place", count: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    from django.contrib.auth.models import User
    from django.test import Client

    from transactions.models import Transaction
    from webhooks.models import Webhook
    from workers.models import Job

    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    def asking(address: str) -> tuple[str, Callable[[], Any]]:
        def ask() -> None:
            answer = client.get(address)
            if answer.status_code != 200:
                raise AssertionError(f"{address} answered {answer.status_code}")

        return address, ask

    yield asking("/admin/")
    for model in (Transaction, Job, Webhook):
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        yield asking(base)
        for name, value in _values(model):
            yield asking(f"{base}?{name}={value}")
    one = Transaction.objects.get(client_ref=f"waiting-{count // 2}")
    webhook = Webhook.objects.filter(transaction_id__isnull=False).order_by("id")[count // 3]
    job = Job.objects.filter(transaction_id=one.pk).values_list("pk", flat=True)[0]
    for term in (one.pk, one.client_ref, one.reference, webhook.webhook_id, job, "nothing"):
        yield asking(f"/admin/transactions/transaction/?q={term}")
    yield asking(f"/admin/workers/job/?q={one.pk}")
    yield asking(f"/admin/webhooks/webhook/?q={webhook.webhook_id}")
    yield asking(f"/admin/transactions/transaction/{one.pk}/change/")


def _pairs() -> Iterator[tuple[str, Callable[[], Any]]]:
    from operators import search as finding
    from transactions.models import Transaction
    from webhooks.models import Webhook
    from workers.foundation.formatting import MOST
    from workers.models import Job

    def ids(model: "type[Model]", params: dict[str, str]) -> list[Any]:
        return list(finding.rows(model, params).values_list(finding.list_key(model))[:MOST])

    for model in (Transaction, Job, Webhook):
        for one, other in itertools.combinations(_values(model), 2):
            if one[0] != other[0]:
                params = dict([one, other])
                name = f"{model._meta.model_name}: {' and '.join('='.join(each) for each in params.items())}"
                yield name, partial(ids, model, params)


def _values(model: "type[Model]") -> list[tuple[str, str]]:
    """Return every filter of a list with each of its values."""
    from operators import search as finding

    return [(each.name, value) for each in finding.filters_of(model) for value, _ in each.choices()]


def _measured(asking: Callable[[], Any]) -> float:
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        asking()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _show(console: Console, title: str, figures: dict[str, float]) -> None:
    table = Table("", "ms", box=SIMPLE_HEAD, title=title, title_justify="left", min_width=60)
    for what, seconds in figures.items():
        colour = "red" if seconds > MOST else "green"
        table.add_row(what, f"[{colour}]{seconds * 1000:.0f}[/]")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
