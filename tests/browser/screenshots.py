"""`make screenshots`: renew the pictures in docs/screenshots from a stack with the data of one day.

The pictures show the same in every run, except for times and ids.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import requests
from playwright.sync_api import Page, expect

from devstack.paths import CHECKOUT
from devstack.ports import free_port
from devstack.processes import end_on_signals
from devstack.stack import Stack
from devstack.stores import temporary_stores
from tests.browser.chromium import chromium, lacking
from tests.browser.test_bulk import choose_all
from tests.browser.visitor import Visitor
from tests.servers import until

FOLDER = CHECKOUT / "docs/screenshots"
LARGEST = 250_000  # bytes
STORY = "contradict"
"""Sandbox behaviour of the transaction whose page is shown."""
TREATED = (
    "sync", "webhook", "ghost504", "sync", "decline", "webhook", "sync", "slow", "sync", "webhook", STORY, "sync",
    "sync", "refuse", "webhook", "sync", "silent", "decline", "sync", "webhook", "sync", "lost504",
)  # fmt: skip
SHOWN_PROGRESS = 100
"""Number of finished rows at which the picture of the bulk run is taken."""
PAUSE = 6.0  # seconds between two orders: about ten a minute, as on the day before


def main() -> int:
    """Take all pictures. Return 1 if there is no browser or a picture is too large."""
    if reason := lacking():
        print(reason, file=sys.stderr)
        return 1
    end_on_signals()
    FOLDER.mkdir(exist_ok=True)
    with temporary_stores() as stores, tempfile.TemporaryDirectory() as home:
        stack = Stack(
            Path(home),
            database_url=stores.database_url,
            broker_url=stores.broker_url,
            port=free_port(),
            sandbox_port=free_port(),
        )
        stack.prepare()
        told = lively(stack)
        stack.start()
        try:
            take_all(stack, told)
        finally:
            stack.stop()
    large = [path.name for path in FOLDER.glob("*.png") if path.stat().st_size > LARGEST]
    print(f"Too large: {', '.join(large)}" if large else f"The pictures are in {FOLDER.relative_to(CHECKOUT)}")
    return 1 if large else 0


def lively(stack: Stack) -> Any:
    """Create the data of the last day with `tests.browser.lively`, and return its output."""
    command, quiet = [sys.executable, "-m", "tests.browser.lively"], {"LOG_LEVEL": "ERROR"}
    run = subprocess.run(command, env=stack.environment | quiet, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def trade(stack: Stack, keys: Mapping[str, str]) -> None:
    """Post a few orders of each shop, with the behaviours in `TREATED`."""
    chance = Random(2)
    for number, behaviour in enumerate(TREATED, start=200_000):
        shop = chance.choices(list(keys), (5, 3, 2))[0]
        order = {
            "id": f"order-{number}",
            "amount": round(100 * chance.lognormvariate(3.5, 0.8)),
            "currency": "EUR",
            "reference": f"{behaviour}: Invoice {number}",
        }
        headers = {"Authorization": f"Bearer {keys[shop]}"}
        requests.post(f"{stack.url}/v1/transactions", json=order, headers=headers, timeout=30).raise_for_status()
        time.sleep(PAUSE)


def take_all(stack: Stack, told: Any) -> None:
    """Post the orders, then take all pictures."""
    trade(stack, told["keys"])
    with chromium() as browser:
        visitor = Visitor(browser, stack.url, others=[], sessions={"operator": told["session"]})
        page = visitor.page("operator", size=(1280, 860))
        take(page, "/", "landing", shows="The service accepts")
        take(page, "/admin/", "dashboard", shows="northbank", whole=True)
        take(page, "/admin/transactions/transaction/", "list", shows="order-")
        path = f"/admin/transactions/transaction/{story(stack)}/change/"
        take(page, path, "transaction", shows="Timeline", whole=True)
        bulk(page)
        visitor.leave()


def take(page: Page, path: str, name: str, shows: str, *, whole: bool = False) -> None:
    """Take a picture of a page once it shows this text: of the `whole` page, or of the part in the window."""
    page.goto(path)
    expect(page.get_by_text(shows).first).to_be_visible()
    page.screenshot(path=FOLDER / f"{name}.png", full_page=whole)


def bulk(page: Page) -> None:
    """Retry the failed notifications of the night, and take the picture during the bulk run."""
    page.goto("/admin/workers/job/?state=failed")
    choose_all(page, "Retry …")
    page.get_by_label("Reason").fill("Their endpoint is back")
    page.get_by_role("button", name="Start").click()

    def under_way() -> bool:
        page.reload()
        return float(page.get_by_role("progressbar").get_attribute("value") or 0) > SHOWN_PROGRESS

    until(under_way, seconds=60)
    page.screenshot(path=FOLDER / "bulk.png")


def story(stack: Stack) -> str:
    """Return our id of the transaction with the behaviour `STORY`."""
    transactions = stack.sandbox_state()["provider"]["transactions"]
    return next(str(id_) for id_, seen in transactions.items() if seen["behaviour"] == STORY)


if __name__ == "__main__":
    sys.exit(main())
