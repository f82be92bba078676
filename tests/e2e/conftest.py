"""Stacks for end-to-end tests: web, worker and sandbox as separate processes."""

from collections.abc import Iterator

import pytest

from devstack.ports import free_port
from devstack.postgres import create_database
from devstack.stack import Stack
from devstack.stores import Stores, temporary_stores


@pytest.fixture(scope="session")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for all tests, with its own database on the PostgreSQL and the Valkey of this test run."""
    stack = Stack(
        tmp_path_factory.mktemp("stack"),
        database_url=create_database(stores.database_url, "e2e"),
        broker_url=stores.broker_database(1),
        port=free_port(),
        sandbox_port=free_port(),
        # As short as the sandbox's faster clock allows: the jobs of a killed worker resume when it expires.
        variables={"CREATE_LEASE": "22"},
    )
    stack.prepare()
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stores]]:
    """A stack with its own stores, for a module whose tests stop, crash and start them."""
    with temporary_stores() as stores:
        stack = Stack(
            tmp_path_factory.mktemp("breakable"),
            database_url=stores.database_url,
            broker_url=stores.broker_url,
            port=free_port(),
            sandbox_port=free_port(),
        )
        stack.prepare()
        stack.start()
        yield stack, stores
        stack.stop()
