"""Olga and Otto, who run actions; a provider and an endpoint that answer as a test says."""

import pytest
from django.contrib.auth.models import User

from operators.actions.table import ACTIONS
from tests.races.conftest import alice, endpoint, far, record, third

__all__ = ["alice", "endpoint", "far", "record", "third"]


@pytest.fixture
def olga(db: None) -> User:
    return User.objects.create_user("olga", is_staff=True)


@pytest.fixture
def otto(db: None) -> User:
    return User.objects.create_user("otto", is_staff=True)


@pytest.fixture
def press(olga):
    """Run an action: `press("poll_now", record.id)`. Return "" when it is done, else why nothing was done."""

    def go(name, pk, reason="because", by=olga, **given):
        return ACTIONS[name].run(pk=pk, by=by, reason=reason, **given)

    return go
