from collections import Counter

import pytest

from sandbox.behaviours import choose, named_by
from sandbox.orders import Order
from sandbox.scenario import draw
from sandbox.settings import Settings


@pytest.mark.parametrize("reference", ["ghost504", "ghost504-17", "ghost504#again", "ghost504:a-b", "ghost504-3:x"])
def test_the_reference_names_a_behaviour(reference):
    assert (found := named_by(reference)) and found.name == "ghost504"


@pytest.mark.parametrize("reference", [None, "", "ghost", "ghost504-b", "invoice-17"])
def test_other_references_name_no_behaviour(reference):
    assert named_by(reference) is None


def test_behaviours_are_drawn_by_their_shares():
    drawn = Counter(choose(Settings(), None, f"key-{n}").name for n in range(4000))
    promised = drawn["webhook"] + drawn["duplicate-webhook"] + drawn["silent"]
    assert 0.08 < (drawn["ghost504"] + drawn["lost504"]) / 4000 < 0.12
    assert 0.15 < drawn["silent"] / promised < 0.25


def test_a_seed_gives_the_same_scenario_in_every_run():
    order = Order("id", 1, "EUR", "invoice-17", None)
    first, second = Settings(seed=7), Settings(seed=7)
    behaviour = choose(first, "invoice-17", "invoice-17")
    assert choose(second, "invoice-17", "invoice-17") == behaviour
    assert draw(first, behaviour, order, 1, 1000.0) == draw(second, behaviour, order, 1, 1000.0)


def test_a_ghost_appears_30_to_120_seconds_after_the_create_began_at_any_speed():
    ghost = named_by("ghost504")
    assert ghost is not None
    for n in range(200):
        order = Order("id", 1, "EUR", f"ghost504-{n}", None)
        scenario = draw(Settings(speed=10), ghost, order, 1, 1000.0)
        assert scenario.copy is not None
        assert 1003 <= scenario.copy.appears_at <= 1012
        assert (scenario.behaviour.http, scenario.answer_after) == (504, 3)
