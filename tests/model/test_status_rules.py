"""Model test of the status rules: after any sequence of events the database matches a small reference model.

`make model` runs more examples with random seeds. MODEL_EXAMPLES sets the number of examples.
"""

import os

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.cast import make_client
from tests.model.clock import Clock
from tests.model.driving import SETTINGS, Cast, seen
from tests.model.machine import StatusRules
from tests.model.outside import CLIENT
from tests.running import change

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
BOUNDED = settings(max_examples=120, derandomize=True, phases=[Phase.generate])
LONG = settings(max_examples=EXAMPLES or 1, print_blob=True)
"""Searches for the shortest failing example and prints the line that repeats it."""

MET = (
    "settles of lost leases",
    "creates that took effect late",
    "webhooks contradicting",
    "webhooks repeated",
    "retries: done",
    "ended failed not_created",
    "create answered page",
    "create answered 402",
    "creates after a check that proved nothing",
    "flagged after page",
    "providers paused by 403",
)
"""Events that must occur in a run; otherwise it proves nothing about them."""


@pytest.fixture
def clock(db, monkeypatch):
    clock = Clock()
    clock.install()
    monkeypatch.setattr("workers.clock.elapsed", clock.now)
    monkeypatch.setattr("workers.clock.database", None)  # each example sets its own
    yield clock
    clock.remove()


@pytest.fixture
def cast(third, clock, monkeypatch, settings):
    settings.MAX_CRASHES = 2
    for module in ("transactions.store", "operators.actions.action", "webhooks.incoming.services"):
        monkeypatch.setattr(f"{module}.announce", lambda wakes: None)
    change(third, **SETTINGS)
    alice = make_client("alice", third.provider, callback_url=CLIENT)
    return Cast(alice, third, User.objects.create_user("olga", is_staff=True), clock)


def test_the_status_follows_the_rules_after_any_sequence_of_events(cast):
    machine = type("StatusRules", (StatusRules,), {"cast": cast})
    limits = settings(
        LONG if EXAMPLES else BOUNDED,
        stateful_step_count=20,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    seen.clear()

    run_state_machine_as_test(machine, settings=limits)

    assert [what for what in MET if not seen[what]] == []
    print(*(f"{count:7} {what}" for what, count in sorted(seen.items())), sep="\n")
