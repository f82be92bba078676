"""Scenario of one create: all random choices, drawn when it arrives, from the seed and the create alone."""

from random import Random
from typing import NamedTuple

from sandbox.behaviours import DECLINED_SHARE, SYNC, Behaviour
from sandbox.orders import Order
from sandbox.records import Copy
from sandbox.settings import Settings


class PlannedWebhook(NamedTuple):
    after: float  # seconds on our clock since the create began
    status: str


class Scenario(NamedTuple):
    """`status` is the status in a 201 answer; `copy` is None if the create has no effect."""

    behaviour: Behaviour  # of this create: `sync` after a `first_only` one
    answer_after: float  # seconds on our clock
    status: str
    copy: Copy | None
    webhooks: tuple[PlannedWebhook, ...]
    webhooks_first: bool


def draw(settings: Settings, behaviour: Behaviour, order: Order, nth: int, began: float) -> Scenario:
    """Draw the scenario of an id's `nth` create (from 1), which began at `began` (unix seconds)."""
    if nth > 1 and behaviour.first_only:
        behaviour = SYNC
    chance = settings.chance(f"{order.reference or order.id}/{nth}")
    answer = chance.uniform(*settings.answer_seconds)
    settle = chance.uniform(*settings.settle_seconds)
    drawn = "declined" if chance.random() < DECLINED_SHARE else "completed"
    final = behaviour.final_status or drawn
    if behaviour.answer_seconds is not None:
        answer = behaviour.answer_seconds
    appears, settled = _times(behaviour, chance, answer, settle)
    status = behaviour.answer_status or final
    exists = chance.random() < behaviour.exists and not (nth > 1 and behaviour.keeps_first)
    copy = Copy(order, began + settings.scaled(appears), began + settings.scaled(settled), status, final)
    webhooks = [
        PlannedWebhook(settings.scaled(settled + wait), behaviour.webhook_status or final)
        for wait in behaviour.webhooks
    ]
    return Scenario(
        behaviour=behaviour,
        answer_after=settings.scaled(answer),
        status=status,
        copy=copy if exists else None,
        webhooks=tuple(webhooks),
        webhooks_first=behaviour.early_webhook,
    )


def _times(behaviour: Behaviour, chance: Random, answer: float, settle: float) -> tuple[float, float]:
    """Return when it appears and when it becomes final, in unscaled seconds since the create began."""
    if behaviour.early_webhook:
        return answer / 2, answer / 2
    appears = answer if behaviour.appears_seconds is None else chance.uniform(*behaviour.appears_seconds)
    return appears, appears if behaviour.answer_status is None else appears + settle
