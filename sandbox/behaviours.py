"""The ways in which the third party behaves, one row each, and how a transaction gets one.

A row describes the first create. Where the oddity is the first create's only (`first_only`), later ones
behave like `sync`. All durations are seconds at normal speed.
"""

import re
from dataclasses import dataclass

from sandbox.settings import Settings

DROPPED = 0  # in place of an HTTP status: the connection is closed without an answer
DECLINED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    name: str
    what: str
    share: float = 0  # per cent of the transactions whose reference names no behaviour
    http: int = 201  # what the create is answered
    exists: bool = True  # whether the create brings a transaction into being
    first_only: bool = False
    keeps_first: bool = False  # a second create leaves the first as it is
    answer_seconds: float | None = None  # None: drawn from the run's --answer-seconds
    appears_seconds: tuple[float, float] | None = None  # after the create began; None: with its answer
    says: str | None = None  # the word in the create's answer, until it settles; None: final at once
    truth: str | None = None  # the final status; None: drawn, DECLINED_SHARE of them declined
    webhooks: tuple[float, ...] = ()  # when they are sent, after settling
    webhook_says: str | None = None  # None: the truth
    early: bool = False  # settles, and sends its webhook, half-way to the create's answer


SYNC = Behaviour(name="sync", share=65, what="the final status is in the create's own answer")

BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        SYNC,
        Behaviour(
            name="webhook",
            share=18,
            what="answers pending, settles later and sends a webhook",
            says="pending",
            webhooks=(0,),
        ),
        Behaviour(
            name="duplicate-webhook",
            share=2,
            what="like webhook, but the webhook is sent twice, a second apart",
            says="pending",
            webhooks=(0, 1),
        ),
        Behaviour(
            name="late-webhook",
            what="like webhook, but the webhook comes two minutes after settling",
            says="pending",
            webhooks=(120,),
        ),
        Behaviour(
            name="silent",
            share=5,  # a fifth of what promises a webhook
            what="answers pending and settles later; the webhook never comes",
            says="pending",
        ),
        Behaviour(name="decline", what="declined, in the create's own answer", truth="declined"),
        Behaviour(name="refuse", what="every create is answered 422; it never exists", http=422, exists=False),
        Behaviour(name="slow", what="like sync, but the answer takes 10 s", answer_seconds=10),
        Behaviour(
            name="ghost504",
            share=5,
            what="504 after 30 s; appears 30-120 s after the create began, final, without a webhook",
            http=504,
            first_only=True,
            answer_seconds=30,
            appears_seconds=(30, 120),
        ),
        Behaviour(
            name="lost504",
            share=5,
            what="504 after 30 s and never appears; a second create is like sync",
            http=504,
            exists=False,
            first_only=True,
            answer_seconds=30,
        ),
        Behaviour(
            name="drop",
            what="is created, but the connection is closed without an answer",
            http=DROPPED,
            first_only=True,
        ),
        Behaviour(
            name="conflict",
            what="is created, but the create is answered 409; further creates change nothing",
            http=409,
            keeps_first=True,
        ),
        Behaviour(
            name="throttle",
            what="the first create is answered 429 with Retry-After; the next is like sync",
            http=429,
            exists=False,
            first_only=True,
        ),
        Behaviour(
            name="contradict",
            what="answers completed, and 5 s later sends a webhook that says declined",
            truth="completed",
            webhooks=(5,),
            webhook_says="declined",
        ),
        Behaviour(
            name="early-webhook",
            what="the final webhook is sent before the create's own answer, which says pending",
            says="pending",
            webhooks=(0,),
            early=True,
        ),
        Behaviour(
            name="unknown-word",
            what="answers the status processing_x, settles later and sends a webhook",
            says="processing_x",
            webhooks=(0,),
        ),
    )
}
SHARED = [behaviour for behaviour in BEHAVIOURS.values() if behaviour.share]


def named_by(reference: str | None) -> Behaviour | None:
    """The behaviour a reference asks for: `webhook`, `webhook-17`, `webhook#a`, `webhook-17:b`."""
    head = (reference or "").split("#")[0].split(":")[0]
    return BEHAVIOURS.get(head) or BEHAVIOURS.get(re.sub(r"-\d+$", "", head))


def choose(settings: Settings, reference: str | None, key: str) -> Behaviour:
    """The one the reference names, else one drawn by the shares: the same for the same seed and key."""
    named = named_by(reference)
    if named is not None:
        return named
    weights = [behaviour.share for behaviour in SHARED]
    return settings.chance(key).choices(SHARED, weights)[0]
