"""A provider and a client's endpoint on loopback. A test can hold a worker's call while another party acts."""

from collections.abc import Iterator

import pytest

from tests.cast import Caller, Third, accepted, make_client, make_provider
from tests.servers import Answer, Server, serving
from tests.workers.conftest import engines, probe
from transactions.snapshot import TransactionSnapshot

__all__ = ["engines", "probe"]


@pytest.fixture
def far() -> Iterator[Server]:
    """The provider's server. It answers 404 to status checks."""
    with serving() as server:
        server.on("GET", Answer(404))
        yield server


@pytest.fixture
def endpoint() -> Iterator[Server]:
    """The client's endpoint. It confirms notifications."""
    with serving() as server:
        server.on("POST", Answer(204))
        yield server


@pytest.fixture
def third(db: None, far: Server) -> Third:
    return make_provider(base_url=far.url)


@pytest.fixture
def alice(third: Third, endpoint: Server) -> Caller:
    return make_client("alice", third.provider, callback_url=endpoint.url + "/callback")


@pytest.fixture
def record(alice: Caller, third: Third) -> TransactionSnapshot:
    """A transaction that was just accepted."""
    return accepted(alice, third)
