import pytest

from tests.cast import Third, make_provider


@pytest.fixture
def third(db: None) -> Third:
    """Create the provider. The API never calls it, so nothing listens at its address."""
    return make_provider()
