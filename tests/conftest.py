"""Fixtures for every test. The stores come from `devstack.pytest_plugin`, before anything here is imported."""

from collections.abc import Iterator

import pytest

from tests.cast import Caller, Third, make_client, make_provider


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """No test sees settings of providers and clients that another one made."""
    from transactions.config import clear_caches

    clear_caches()
    yield
    clear_caches()


@pytest.fixture
def third(db: None) -> Third:
    """The provider."""
    return make_provider()


@pytest.fixture
def alice(third: Third) -> Caller:
    """A client; `third` is its default provider."""
    return make_client("alice", third.provider)


@pytest.fixture
def mallory(third: Third) -> Caller:
    """Another client with a valid key."""
    return make_client("mallory", third.provider)
