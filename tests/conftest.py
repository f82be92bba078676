"""Fixtures for all tests. `devstack.pytest_plugin` starts the stores before this module is imported."""

from collections.abc import Iterator

import pytest

from tests.cast import Caller, Third, make_client, make_provider


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """Clear cached settings, so that no test sees providers and clients of another one."""
    from transactions.config import clear_caches

    clear_caches()
    yield
    clear_caches()


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
