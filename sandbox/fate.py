"""What becomes of one create: drawn at once, from the seed and the create alone, then only played."""

from random import Random
from typing import NamedTuple

from sandbox.behaviours import DECLINED_SHARE, SYNC, Behaviour
from sandbox.orders import Order
from sandbox.records import Copy
from sandbox.settings import Settings


class PlannedWebhook(NamedTuple):
    after: float  # seconds on the clock since the create began
    status: str


class Fate(NamedTuple):
    """`says` is the status word of a 201; `copy` is None where nothing comes into being."""

    answer_after: float  # seconds on the clock
    http: int
    says: str
    copy: Copy | None
    webhooks: tuple[PlannedWebhook, ...]
    webhooks_first: bool


def draw(settings: Settings, behaviour: Behaviour, order: Order, nth: int, began: float) -> Fate:
    """The fate of an id's `nth` create (from 1), which began at `began` (unix seconds)."""
    if nth > 1 and behaviour.first_only:
        behaviour = SYNC
    chance = settings.chance(f"{order.reference or order.id}/{nth}")
    answer = chance.uniform(*settings.answer_seconds)
    settle = chance.uniform(*settings.settle_seconds)
    drawn = "declined" if chance.random() < DECLINED_SHARE else "completed"
    final = behaviour.truth or drawn
    if behaviour.answer_seconds is not None:
        answer = behaviour.answer_seconds
    appears, settled = _times(behaviour, chance, answer, settle)
    says = behaviour.says or final
    exists = behaviour.exists and not (nth > 1 and behaviour.keeps_first)
    copy = Copy(order, began + settings.scaled(appears), began + settings.scaled(settled), says, final)
    webhooks = [
        PlannedWebhook(settings.scaled(settled + wait), behaviour.webhook_says or final) for wait in behaviour.webhooks
    ]
    return Fate(
        answer_after=settings.scaled(answer),
        http=behaviour.http,
        says=says,
        copy=copy if exists else None,
        webhooks=tuple(webhooks),
        webhooks_first=behaviour.early,
    )


def _times(behaviour: Behaviour, chance: Random, answer: float, settle: float) -> tuple[float, float]:
    """When it appears and when it settles, in unscaled seconds since the create began."""
    if behaviour.early:
        return answer / 2, answer / 2
    appears = answer if behaviour.appears_seconds is None else chance.uniform(*behaviour.appears_seconds)
    return appears, appears if behaviour.says is None else appears + settle
