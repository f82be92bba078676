import pytest

from tests.api.callers import Api
from tests.cast import Caller


@pytest.fixture
def api(alice: Caller) -> Api:
    """The API as alice uses it."""
    return Api(alice)


@pytest.fixture
def stranger(mallory: Caller) -> Api:
    """The API as mallory uses it."""
    return Api(mallory)
