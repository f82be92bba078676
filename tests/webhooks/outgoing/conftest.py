"""A client whose endpoint is a server on loopback with scripted answers."""

from collections.abc import Iterator

import pytest

from tests.cast import Caller, Third, accepted, job, make_client, make_provider
from tests.servers import Answer, Server, serving
from transactions.snapshot import TransactionSnapshot
from workers.models import Job


@pytest.fixture
def endpoint() -> Iterator[Server]:
    """The client's endpoint; it confirms by default."""
    with serving() as server:
        for method in ("POST", "PUT", "PATCH"):
            server.on(method, Answer(204))
        yield server


@pytest.fixture
def alice(db: None, endpoint: Server) -> Caller:
    """A client with a running endpoint."""
    return make_client("alice", make_provider().provider, callback_url=endpoint.url + "/callback")


@pytest.fixture
def third(alice: Caller) -> Third:
    """Its default provider."""
    provider = alice.client.default_provider
    assert provider is not None
    return Third(provider, "")


@pytest.fixture
def record(alice: Caller, third: Third) -> TransactionSnapshot:
    return accepted(alice, third, reference="March", metadata={"a": "b"})


@pytest.fixture
def telling(record: TransactionSnapshot) -> Job:
    """The notification job of `pending`."""
    return job(record, "notify")
