"""Fixtures for all tests. `devstack.pytest_plugin` starts the stores before this module is imported."""

from collections.abc import Iterator
from unittest import mock

import pytest

from tests.cast import Caller, Third, clear_caches, make_client, make_provider
from tests.transactions.api.callers import Api
from txnproject import health
from webhooks.incoming.refusals import forget_counts


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """No test sees settings, counts of refusals, or results of `/readyz` that another one made."""
    clear_caches()
    with mock.patch.object(health, "SHARED", -1):
        yield
    clear_caches()
    forget_counts()


@pytest.fixture
def third(db: None) -> Third:
    """A provider."""
    return make_provider()


@pytest.fixture
def alice(third: Third) -> Caller:
    """A client; `third` is its default provider."""
    return make_client("alice", third.provider)


@pytest.fixture
def mallory(third: Third) -> Caller:
    """Another client with a valid key."""
    return make_client("mallory", third.provider)


@pytest.fixture
def api(alice: Caller) -> Api:
    """The API as alice uses it."""
    return Api(alice)


@pytest.fixture
def stranger(mallory: Caller) -> Api:
    """The API as mallory uses it."""
    return Api(mallory)
