"""The third party: a server on loopback that answers as a test says. It knows no transaction unless told otherwise."""

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
    """The third party's server."""
    with serving() as server:
        server.on("GET", Answer(404))
        yield server


@pytest.fixture
def third(db: None, far: Server) -> Third:
    """The provider, with somebody at its address."""
    return make_provider(base_url=far.url)


@pytest.fixture
def record(alice: Caller, third: Third) -> TransactionSnapshot:
    """A transaction that was just accepted."""
    return accepted(alice, third)


@pytest.fixture
def creating(record: TransactionSnapshot) -> Job:
    """Its job `create`."""
    return job(record, "create")


@pytest.fixture
def direct(third: Third) -> None:
    """Creates without a look first, so that it is the create that cannot be sent."""
    change(third, check_before_create=False)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """An event that holds answers back until the test is over."""
    event = threading.Event()
    yield event
    event.set()
