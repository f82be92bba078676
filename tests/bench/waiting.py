"""`make bench`: shows that a million waiting transactions do not slow down other transactions.

It compares two databases on one embedded PostgreSQL: an empty one, and one with transactions that wait for polls in
the far future. It measures the same steps on both in turn, so that other load on the machine affects both alike, and
compares the medians. The first measurement uses the statistics from before the rows were created, which is the
realistic risk for the planner (autovacuum is off). The second one follows ANALYZE. Then it measures the memory of web
and worker processes on each database, a client's POSTs alone and beside a flood of refused webhooks, and the dashboard
while the transactions wait and when all of them are due.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from devstack.environment import new_secrets, service_environment
from devstack.paths import DATA
from devstack.postgres import create_database
from devstack.processes import StackError, end_on_signals
from devstack.stores import Stores, temporary_stores
from tests.bench.flood import flooded
from tests.bench.memory import memory

if TYPE_CHECKING:  # imports of Django need its settings
    from tests.bench.steps import Place

MOST = 1.5
"""Limit of the ratio of full to empty."""
ROUNDS, CYCLES = 10, 4
SOON = 300.0
"""Limit for the dashboard's figures, in milliseconds."""

Figures = dict[str, float]


def main() -> int:
    """Run the benchmark. Return 0 if no ratio is above MOST and the dashboard takes at most SOON ms."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.waiting", description="Cost of waiting transactions.")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="waiting transactions (default: 1000000)")
    parser.add_argument("--seconds", type=float, default=20, help="of load for the memory measurement (default: 20)")
    given = parser.parse_args()
    end_on_signals()
    try:
        with temporary_stores() as stores:
            return bench(Console(highlight=False, width=110), stores, given.waiting, given.seconds)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def bench(console: Console, stores: Stores, waiting: int, seconds: float) -> int:
    """Create both databases, measure, and print the results. Return 1 if a figure exceeds its limit."""
    urls = {name: create_database(stores.database_url, name) for name in ("empty", "full")}
    environment = service_environment(
        new_secrets(), database_url=urls["empty"], broker_url=stores.broker_url, public_url="http://testserver"
    )
    os.environ.update(environment, LOG_LEVEL="WARNING")
    import django

    django.setup()
    from tests.bench import rows

    _execute("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
    places = {name: _prepare(name) for name in urls}
    check_disk(waiting)
    took = _fill(console, places["full"], waiting)
    places["full"].count()
    console.print(f"{waiting:,} transactions wait; creating them took {took:.0f} s. Measuring with old statistics ...")
    old = _measure(places)
    looks = {"all wait, old statistics": _look(places["full"])}
    rows.analyze()
    console.print("Measuring after ANALYZE ...")
    new = _measure(places)
    looks["all wait"] = _look(places["full"])
    console.print(f"Measuring the memory of the processes, {seconds:g} s on each database ...")
    sizes = {name: _memory(name, urls[name], stores, seconds) for name in urls}
    found = [
        *_show(console, "old statistics, ms", old),
        *_show(console, "after ANALYZE, ms", new),
        *_show(console, "resident memory, MiB", sizes),
    ]
    with tempfile.TemporaryDirectory(dir=DATA) as home:
        urls |= {"flood": create_database(stores.database_url, "flood")}
        posts = flooded(Path(home), database_url=urls["flood"], broker_url=stores.broker_database(3), seconds=seconds)
    for when, figures in posts.items():
        console.print(f"{when}: {', '.join(f'{name} {figure:.0f}' for name, figure in figures.items())}")
    _use("full")
    _execute("SET statement_timeout = 0")
    rows.make_due()
    looks["all are due"] = _look(places["full"])
    rows.forget_statistics()
    looks["all are due, no statistics"] = _look(places["full"])
    for when, ms in looks.items():
        console.print(f"The dashboard's figures, {when}: [{'red' if ms > SOON else 'green'}]{ms:.0f} ms[/]")
    if max(found) > MOST:
        console.print(f"[bold red]A ratio is above {MOST:g}[/]: waiting transactions slow down others.")
    elif max(looks.values()) > SOON:
        console.print(f"[bold red]The dashboard takes longer than {SOON:g} ms[/].")
    else:
        console.print(f"[bold green]No ratio is above {MOST:g}, and the dashboard takes less than {SOON:g} ms[/].")
        return 0
    return 1


def _prepare(name: str) -> "Place":
    from django.core.management import call_command

    from tests.bench.steps import Place, Seconds

    _use(name)
    call_command("migrate", verbosity=0)
    place = Place()
    place.cycle(Seconds())
    _execute("ANALYZE")
    return place


def _fill(console: Console, place: "Place", waiting: int) -> float:
    _use("full")
    _execute("SET statement_timeout = 0")
    began = time.monotonic()
    with console.status("") as status:
        place.fill(waiting, show=lambda made: status.update(f"{made:,} transactions wait"))
    _execute("CHECKPOINT")  # now, rather than during the measurement
    return time.monotonic() - began


def _measure(places: Mapping[str, "Place"]) -> dict[str, Figures]:
    """Return the median of each step on each database, in ms."""
    from tests.bench.steps import Seconds

    taken = {name: Seconds() for name in places}
    for _ in range(ROUNDS):
        for name, place in places.items():
            _use(name)
            place.cycle(Seconds())  # the first use of a connection costs more
            for _ in range(CYCLES):
                place.cycle(taken[name])
    _use("full")
    return {name: {step: median(each) * 1000 for step, each in seconds.of.items()} for name, seconds in taken.items()}


def _look(place: "Place") -> float:
    """Return the median time of the dashboard on the full database, in ms."""
    from tests.bench.steps import Seconds

    taken = Seconds()
    for _ in range(2 * ROUNDS):
        with taken("look"):
            place.look()
    return median(taken.of["look"]) * 1000


def _memory(name: str, url: str, stores: Stores, seconds: float) -> Figures:
    _use(name)
    _execute("DELETE FROM workers_workerprocess")  # otherwise the stack looks ready because of our row
    with tempfile.TemporaryDirectory(dir=DATA) as home:
        number = 1 if name == "empty" else 2
        return memory(
            Path(home), database_url=url, broker_url=stores.broker_database(number), seconds=seconds
        )  # fmt: skip


def _show(console: Console, title: str, figures: Mapping[str, Figures]) -> list[float]:
    """Print both columns and their ratio. Return the ratios."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", min_width=60)
    table.add_column("")
    for heading in ("empty", "full", "ratio"):
        table.add_column(heading, justify="right")
    ratios = {what: figures["full"][what] / empty for what, empty in figures["empty"].items()}
    for what, ratio in ratios.items():
        colour = "red" if ratio > MOST else "green"
        empty, full = figures["empty"][what], figures["full"][what]
        table.add_row(what, f"{empty:.2f}", f"{full:.2f}", f"[{colour}]{ratio:.2f}[/]")
    console.print(table)
    return list(ratios.values())


def _use(name: str) -> None:
    """Connect Django to this database from now on."""
    from django.db import connection

    from tests.cast import clear_caches

    connection.close()
    connection.settings_dict["NAME"] = name
    clear_caches()


def _execute(*statements: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def check_disk(waiting: int) -> None:
    from tests.bench.rows import BYTES

    needed, free = waiting * BYTES, shutil.disk_usage(DATA).free
    if needed > free:
        raise StackError(f"{waiting:,} transactions need {needed / 2**30:.0f} GiB; {free / 2**30:.0f} GiB are free")


if __name__ == "__main__":
    sys.exit(main())
