"""The third party: a server on loopback that answers as a test says. It knows no transaction unless told otherwise."""

from collections.abc import Iterator

import pytest

from tests.cast import Third, make_provider
from tests.servers import Answer, Server, serving


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
