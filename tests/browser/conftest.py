"""A real browser, and a stack whose pages it opens: web, worker and sandbox on a separate database.

Both end with the last test of this folder, because the browser's event loop would disturb later tests.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from devstack.paths import CHECKOUT
from devstack.ports import free_port
from devstack.postgres import create_database
from devstack.stack import Stack
from devstack.stores import Stores
from tests.browser.chromium import chromium, skip_where_lacking
from tests.browser.visitor import Visitor


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    skip_where_lacking()
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def prepared(browser: Browser, stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack, before its processes start."""
    stack = Stack(
        tmp_path_factory.mktemp("browser"),
        database_url=create_database(stores.database_url, "browser"),
        broker_url=stores.broker_database(5),
        port=free_port(),
        sandbox_port=free_port(),
    )
    stack.prepare()
    return stack


@pytest.fixture(scope="package")
def seeded(prepared: Stack) -> dict[str, Any]:
    """Output of `tests.browser.seed`, which creates data in the stack's database."""
    seed = [sys.executable, "-m", "tests.browser.seed"]
    run = subprocess.run(seed, env=prepared.environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


@pytest.fixture(scope="package")
def stack(prepared: Stack, seeded: dict[str, Any]) -> Iterator[Stack]:
    prepared.start()
    yield prepared
    prepared.stop()


@pytest.fixture
def visitor(browser: Browser, stack: Stack, seeded: dict[str, Any]) -> Iterator[Visitor]:
    """Visitor that opens pages in a test. The test fails at its end if the visitor has complaints."""
    visitor = Visitor(browser, stack.url, others=[stack.sandbox_url], sessions=seeded["sessions"])
    yield visitor
    complaints = visitor.leave()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def page(visitor: Visitor) -> Page:
    """Page without a login."""
    return visitor.page()


@pytest.fixture
def at_work(visitor: Visitor) -> Page:
    """Page of a logged-in operator."""
    return visitor.page(role="operator")


@pytest.fixture
def ours(seeded: dict[str, Any]) -> dict[str, str]:
    """Our ids of the seeded transactions, by the client's id."""
    found: dict[str, str] = seeded["transactions"]
    return found
