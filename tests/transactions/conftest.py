"""Fixtures: the provider, a server on loopback that knows no transaction until a test sets its answers."""

import threading
from collections.abc import Iterator

import pytest

from tests.cast import Caller, Third, accepted, job, make_provider
from tests.running import change
from tests.servers import Answer, Server, serving
from transactions.snapshot import TransactionSnapshot
from workers.models import Job


@pytest.fixture
def far() -> Iterator[Server]:
    """Serve the provider; a status check is answered 404."""
    with serving() as server:
        server.on("GET", Answer(404))
        yield server


@pytest.fixture
def third(db: None, far: Server) -> Third:
    """Create the provider, with the server as its address."""
    return make_provider(base_url=far.url)


@pytest.fixture
def record(alice: Caller, third: Third) -> TransactionSnapshot:
    """Accept a transaction."""
    return accepted(alice, third)


@pytest.fixture
def creating(record: TransactionSnapshot) -> Job:
    """Return its job `create`."""
    return job(record, "create")


@pytest.fixture
def direct(third: Third) -> None:
    """Create without a status check first, so that the create is the request that cannot be sent."""
    change(third, check_before_create=False)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Return an event that holds answers back; it is set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()
