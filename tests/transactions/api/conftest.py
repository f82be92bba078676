import pytest

from tests.cast import Third, make_provider


@pytest.fixture
def third(db: None) -> Third:
    """The provider. The API calls it never, so nothing listens at its address."""
    return make_provider()
