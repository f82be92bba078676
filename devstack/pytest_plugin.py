"""Pytest plugin: starts a real PostgreSQL and Valkey before Django reads its settings."""

import contextlib
import os

import pytest

from devstack.environment import new_secrets, service_environment
from devstack.processes import StackError
from devstack.stores import Stores, temporary_stores

STORES = pytest.StashKey[Stores]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the stores that DATABASE_URL and BROKER_URL do not name, and set the service's environment."""
    if early_config.known_args_namespace.help or early_config.known_args_namespace.version:
        return
    running = contextlib.ExitStack()
    try:
        stores = running.enter_context(temporary_stores(os.environ))
    except StackError as error:
        raise pytest.UsageError(str(error)) from error
    early_config.add_cleanup(running.close)
    early_config.stash[STORES] = stores
    os.environ.update(service_environment(new_secrets(), public_url="http://testserver", **stores.urls))


@pytest.fixture(scope="session")
def stores(pytestconfig: pytest.Config) -> Stores:
    """The stores of this run. Tests that stop or crash stores use `temporary_stores()` instead."""
    return pytestconfig.stash[STORES]
