"""`make demo`: what the service is for, shown against a third party that misbehaves in every known way."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from rich.console import Console

from devstack.findings import FINAL, Finding, find
from devstack.places import CHECKOUT, DATA, Home
from devstack.ports import free_port, port_asked_for
from devstack.processes import StackError
from devstack.screen import Show, progress, table
from devstack.stack import Stack
from devstack.stores import PostgreSQL
from devstack.throwaway import Stores
from sandbox.behaviours import BEHAVIOURS

HOME = DATA / "demo"
SPEED = 20  # times faster than ours is the third party's clock
OF_EACH = 3
AT_ONCE = 8  # requests
PATIENCE = 60.0  # seconds; what is not final by then never will be


@dataclass(frozen=True, slots=True)
class Order:
    """One transaction that the demo's client asks for."""

    reference: str
    amount: int

    @property
    def id(self) -> str:
        """The client's own id of it."""
        return f"order-{self.reference}"

    @property
    def behaviour(self) -> str:
        """What its reference makes the third party do."""
        return self.reference.rsplit("-", 1)[0]


ORDERS = [Order(f"{name}-{nth}", 1000 * nth) for name in BEHAVIOURS for nth in range(1, OF_EACH + 1)]
# Sent a second time at the same moment, as an impatient client does.
REPEATED = ORDERS[::OF_EACH]


@dataclass(slots=True)
class Sent:
    """What the demo's client noted."""

    at: dict[str, float] = field(default_factory=dict)
    replayed: int = 0


def demo() -> int:
    """Set everything up, run it, show what happened: 0 if all three sides agree on every transaction."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with Home(HOME):
        _clear()
        console.print(f"Starting PostgreSQL, Valkey, web, worker and sandbox; their files are in {_short(HOME)}")
        with Stores(HOME, logs=HOME / "logs", durable=True, given=os.environ) as stores:
            stack = Stack(
                HOME,
                database_url=stores.database_url,
                broker_url=stores.broker_url,
                port=port_asked_for() or free_port(),
                sandbox_port=free_port(),
                speed=SPEED,
                shared_database=stores.postgres is None,
            )
            stack.prepare()
            stack.start()
            try:
                return _show(console, stack)
            finally:
                stack.stop()


def _clear() -> None:
    """Remove what an earlier demo left: its logs are kept until now."""
    PostgreSQL(HOME, log=HOME / "logs/postgres.log", durable=True).remove()
    shutil.rmtree(HOME / "logs", ignore_errors=True)
    (HOME / "secrets.json").unlink(missing_ok=True)


def _show(console: Console, stack: Stack) -> int:
    console.print(
        f"Sending {len(ORDERS)} transactions to a third party whose clock runs {SPEED} times faster than ours"
    )
    with progress(console, len(ORDERS)) as show:
        sent = _send(stack, show)
        _follow(stack, show)
    state = stack.sandbox_state()
    findings = list(_findings(stack, state, sent))
    console.print(table(findings))
    return _verdict(console, stack, state, sent, findings)


def _send(stack: Stack, show: Show) -> Sent:
    sent = Sent()

    def send(order: Order) -> requests.Response:
        sent.at.setdefault(order.id, time.time())
        body = {"id": order.id, "amount": order.amount, "currency": "EUR", "reference": order.reference}
        return stack.request("POST", "/v1/transactions", json=body)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in pool.map(send, [*ORDERS, *REPEATED]):
            if answer.status_code == 200 and answer.headers.get("Idempotent-Replayed") == "true":
                sent.replayed += 1
            elif answer.status_code != 202:
                raise StackError(f"POST /v1/transactions answered {answer.status_code}: {answer.text[:300]}")
            show("sent", len(sent.at))
    return sent


def _follow(stack: Stack, show: Show) -> None:
    """Watch until everything is final and told, and the last webhook under way has come."""
    deadline = time.monotonic() + PATIENCE
    webhooks = sum(len(BEHAVIOURS[order.behaviour].webhooks) for order in ORDERS)
    while time.monotonic() < deadline:
        stack.check()
        done = sum(transaction["status"] in FINAL for transaction in _transactions(stack))
        state = stack.sandbox_state()
        told = sum(seen["final"] is not None for seen in state["client"]["transactions"].values())
        come = sum(len(seen["webhooks"]) for seen in state["provider"]["transactions"].values())
        show("done", done)
        show("told", told)
        if done == told == len(ORDERS) and come >= webhooks:
            return
        time.sleep(0.3)


def _transactions(stack: Stack) -> Iterator[dict[str, Any]]:
    path: str | None = "/v1/transactions?limit=100"
    while path:
        page = stack.request("GET", path).json()
        yield from page["results"]
        path = page["next"] and page["next"].removeprefix(stack.url)


def _findings(stack: Stack, state: dict[str, Any], sent: Sent) -> Iterator[Finding]:
    copies = {seen["reference"]: seen for seen in state["provider"]["transactions"].values()}
    reviews = stack.reviews()
    for order in ORDERS:
        yield find(
            order.reference,
            sent.at[order.id],
            events=stack.request("GET", f"/v1/transactions/{order.id}/events").json()["results"],
            review=reviews.get(order.id, ""),
            provider=copies.get(order.reference, {}),
            client=state["client"]["transactions"].get(order.id, {}),
        )


def _verdict(console: Console, stack: Stack, state: dict[str, Any], sent: Sent, findings: list[Finding]) -> int:
    twice, forged = state["provider"]["duplicate_creates"], state["client"]["bad_signatures"]
    console.print(f"{len(REPEATED)} were sent twice, and {sent.replayed} of these recognised.", end=" ")
    console.print(f"Created twice at the third party: {twice}. Notifications with a wrong signature: {forged}.")
    wrong = [finding.reference for finding in findings if not finding.agreed or _is_overlooked(finding)]
    if wrong or twice or forged or sent.replayed != len(REPEATED):
        where = f"The logs are in {_short(stack.logs)}"
        console.print(f"[bold red]This is not as it should be[/]: {', '.join(wrong) or 'see above'}. {where}")
        return 1
    console.print(
        "[bold green]All three agree on every transaction[/]: whatever the third party did, each was done once and the "
        "client was told. `make run` keeps such a stack up, with pages to open."
    )
    return 0


def _is_overlooked(finding: Finding) -> bool:
    """Whether a contradiction was neither taken nor flagged."""
    return finding.reference.startswith("contradict-") and finding.review != "contradiction"


def _short(path: os.PathLike[str]) -> str:
    return os.path.relpath(path, CHECKOUT)
