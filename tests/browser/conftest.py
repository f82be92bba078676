"""A real browser, and a stack whose pages it opens: web, worker and sandbox on a database of their own.

All of it ends with the last test of this folder: the browser's event loop would be in the way of the tests after it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from devstack.places import CHECKOUT
from devstack.ports import free_port
from devstack.stack import Stack
from devstack.stores import create_database
from devstack.throwaway import Stores
from tests.browser.chromium import chromium, skip_where_lacking
from tests.browser.visitor import NARROW, WIDE, Visitor


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    skip_where_lacking()
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def stack(browser: Browser, stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(
        tmp_path_factory.mktemp("browser"),
        database_url=create_database(stores.database_url, "browser"),
        broker_url=stores.broker_database(5),
        port=free_port(),
        sandbox_port=free_port(),
    )
    stack.prepare()
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="package")
def seeded(stack: Stack) -> dict[str, Any]:
    """What `tests.browser.seed` has made in the stack's database, and told."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.browser.seed"],
        env=stack.environment, cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    """Nobody in particular. The test fails at its end if anything went wrong behind a page."""
    visitor = Visitor(browser, [stack.url, stack.sandbox_url], base_url=stack.url)
    yield visitor
    complaints = visitor.leave()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def page(visitor: Visitor) -> Page:
    return visitor.page()


@pytest.fixture(params=[(WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light")], ids=str)
def look(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How a page is looked at: at both widths, in both colour schemes."""
    size, scheme = request.param
    return {"size": size, "scheme": scheme}
