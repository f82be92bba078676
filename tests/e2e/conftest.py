"""A whole stack for end-to-end tests: web, worker and sandbox as processes of their own."""

from collections.abc import Iterator

import pytest

from devstack.ports import free_port
from devstack.stack import Stack
from devstack.stores import create_database
from devstack.throwaway import Stores, throwaway_stores


@pytest.fixture(scope="session")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for all tests, on the stores of this run: a PostgreSQL database and a Valkey database of its own."""
    stack = Stack(
        tmp_path_factory.mktemp("stack"),
        database_url=create_database(stores.database_url, "e2e"),
        broker_url=stores.broker_database(1),
        port=free_port(),
        sandbox_port=free_port(),
        # As short as the sandbox's faster clock allows: what a killed worker had under way comes back after it.
        variables={"CREATE_LEASE": "22"},
    )
    stack.prepare()
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stores]]:
    """A stack and stores for a module whose tests break them: stop, crash and start them as you like."""
    with throwaway_stores() as stores:
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
