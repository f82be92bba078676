"""`make demo`: the service's main job against a third party that fails in every known way."""

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from devstack.paths import CHECKOUT, DATA, locked_data_dir
from devstack.ports import free_port, requested_port
from devstack.postgres import PostgreSQL
from devstack.processes import StackError
from devstack.results import FINAL, Result, compare, table
from devstack.stack import Stack, running_stack
from sandbox.behaviours import COMMON

DATA_DIR = DATA / "demo"
LOGS = DATA_DIR / "logs"
SPEED = 20  # how many times faster than ours the third party's clock runs
PER_BEHAVIOUR = 3
CONCURRENT_REQUESTS = 8
TIMEOUT = 60.0  # seconds until everything must be final
INTERVAL = 0.3  # seconds between two looks at the progress

# Amounts in minor units by reference; the reference makes the third party behave in this way.
ORDERS = {f"{behaviour.name}-{nth}": 1000 * nth for behaviour in COMMON for nth in range(1, PER_BEHAVIOUR + 1)}
REPEATED = list(ORDERS)[::PER_BEHAVIOUR]  # sent a second time at the same moment
WEBHOOKS = PER_BEHAVIOUR * sum(len(behaviour.webhooks) for behaviour in COMMON)


def demo() -> int:
    """Start a new stack, run the main job and show the results; return 0 if all three sides agree on everything."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with locked_data_dir(DATA_DIR):
        PostgreSQL(DATA_DIR, log=LOGS / "postgres.log", durable=True).remove()
        shutil.rmtree(LOGS, ignore_errors=True)
        (DATA_DIR / "secrets.json").unlink(missing_ok=True)
        place = DATA_DIR.relative_to(CHECKOUT)
        console.print(f"Starting PostgreSQL, Valkey, web, worker and sandbox; their files are in {place}")
        port = requested_port() or free_port()
        with running_stack(DATA_DIR, port=port, sandbox_port=free_port(), speed=SPEED) as stack:
            console.print(
                f"Sending {len(ORDERS)} transactions; the third party's clock runs {SPEED} times faster than ours"
            )
            with ProgressDisplay(console) as progress:
                posted_at, replayed = _send(stack, progress)
                _wait_until_final(stack, progress)
            state = stack.sandbox_state()
            results = list(_results(stack, state, posted_at))
            console.print(table(results))
            return _verdict(console, state, replayed, results)


class ProgressDisplay(Progress):
    """Progress bars on a terminal; elsewhere a line when a number has changed, at most each second."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        for step in ("accepted", "final", "client notified"):
            self.add_task(step, total=len(ORDERS))
        self._shown = (0, 0, 0)
        self._printed_at = 0.0

    def show(self, accepted: int, final: int = 0, notified: int = 0) -> None:
        """Show how many transactions have reached each step."""
        counts = (accepted, final, notified)
        for task, count in zip(self.task_ids, counts, strict=True):
            self.update(task, completed=count)
        is_due = time.monotonic() - self._printed_at >= 1 or min(counts) == len(ORDERS)
        if self.disable and counts != self._shown and is_due:
            self._shown, self._printed_at = counts, time.monotonic()
            self.console.print(f"  {accepted} accepted, {final} final, {notified} notified, of {len(ORDERS)}")


def _send(stack: Stack, progress: ProgressDisplay) -> tuple[dict[str, float], int]:
    """Post all orders; return the unix time of each first POST by reference, and the number of recognised repeats."""
    posted_at: dict[str, float] = {}
    replayed = 0

    def send(reference: str) -> requests.Response:
        posted_at.setdefault(reference, time.time())
        body = {"id": _id(reference), "amount": ORDERS[reference], "currency": "EUR", "reference": reference}
        return stack.request("POST", "/v1/transactions", json=body)

    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        for answer in pool.map(send, [*ORDERS, *REPEATED]):
            if answer.status_code == 200 and answer.headers.get("Idempotent-Replayed") == "true":
                replayed += 1
            elif answer.status_code != 202:
                raise StackError(f"POST /v1/transactions answered {answer.status_code}: {answer.text[:300]}")
            progress.show(len(posted_at))
    return posted_at, replayed


def _wait_until_final(stack: Stack, progress: ProgressDisplay) -> None:
    """Wait until all are final, the client is notified, and the third party has sent its last webhook."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        stack.check()
        transactions = stack.request("GET", "/v1/transactions?limit=100").json()["results"]  # one page holds them all
        final = sum(transaction["status"] in FINAL for transaction in transactions)
        state = stack.sandbox_state()
        notified = sum(record["final"] is not None for record in state["client"]["transactions"].values())
        webhooks = sum(len(record["webhooks"]) for record in state["provider"]["transactions"].values())
        progress.show(len(ORDERS), final, notified)
        if final == notified == len(ORDERS) and webhooks >= WEBHOOKS:
            return
        time.sleep(INTERVAL)


def _results(stack: Stack, state: dict[str, Any], posted_at: dict[str, float]) -> Iterator[Result]:
    by_reference = {record["reference"]: record for record in state["provider"]["transactions"].values()}
    reviews = _reviews(stack.environment["DATABASE_URL"])
    for reference in ORDERS:
        yield compare(
            reference,
            posted_at[reference],
            events=stack.request("GET", f"/v1/transactions/{_id(reference)}/events").json()["results"],
            review=reviews.get(_id(reference), ""),
            provider=by_reference.get(reference, {}),
            client=state["client"]["transactions"].get(_id(reference), {}),
        )


def _reviews(database_url: str) -> dict[str, str]:
    """Return the review reasons of flagged transactions by the client's id; the API does not show them."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT client_ref, review FROM transactions_transaction WHERE review <> ''")
        return dict(cursor.fetchall())


def _verdict(console: Console, state: dict[str, Any], replayed: int, results: list[Result]) -> int:
    duplicates, forged = state["provider"]["duplicate_creates"], state["client"]["bad_signatures"]
    console.print(
        f"{len(REPEATED)} transactions were sent twice; the service recognised {replayed} of them.\n"
        f"Duplicates at the third party: {duplicates}. Notifications with a wrong signature: {forged}."
    )
    wrong = [result.reference for result in results if not result.correct]
    if wrong or duplicates or forged or replayed != len(REPEATED):
        place = LOGS.relative_to(CHECKOUT)
        console.print(f"[bold red]Failed[/]: {', '.join(wrong) or 'see above'}. The logs are in {place}")
        return 1
    console.print(
        "[bold green]All three agree on every transaction[/]: each was created once, and the client was notified. "
        "`make run` starts such a stack and keeps it running, with web pages."
    )
    return 0


def _id(reference: str) -> str:
    """Return the client's own id of an order."""
    return f"order-{reference}"
