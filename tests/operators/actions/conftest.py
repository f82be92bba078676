"""Olga and Otto, who may press every button; a provider and an endpoint that answer as a test says."""

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
    """Press a button: `press("poll_now", record.id)`. Empty when it was done, else why nothing was."""

    def go(name, pk, reason="because", by=olga, **given):
        return ACTIONS[name].run(pk=pk, by=by, reason=reason, **given)

    return go
