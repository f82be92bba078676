"""Behaviours of the third party, and the choice of one for a transaction.

A behaviour describes the first create of an id. With `first_only`, later ones behave like `sync`. All durations are
in seconds at normal speed.
"""

import re
from dataclasses import dataclass

from sandbox.settings import Settings

DROPPED = 0  # instead of an HTTP status: the connection is closed without an answer
DECLINED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the third party answers a create, and what its effects are."""

    name: str
    description: str
    share: float = 0  # percentage of the transactions whose reference names no behaviour
    http: int = 201  # status of the answer to the create
    exists: bool = True  # False: the create has no effect
    first_only: bool = False
    keeps_first: bool = False  # a second create has no effect
    answer_seconds: float | None = None  # None: drawn from --answer-seconds
    appears_seconds: tuple[float, float] | None = None  # since the create began; None: with its answer
    answer_status: str | None = None  # status in the create's answer, until it settles; None: final at once
    final_status: str | None = None  # None: drawn, `declined` for DECLINED_SHARE of them
    webhooks: tuple[float, ...] = ()  # times at which they are sent, since it settled
    webhook_status: str | None = None  # None: the final status
    early_webhook: bool = False  # settles and sends its webhook half-way to the create's answer


SYNC = Behaviour(name="sync", share=65, description="the final status is in the create's own answer")

BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        SYNC,
        Behaviour(
            name="webhook",
            share=18,
            description="answers pending, settles later and sends a webhook",
            answer_status="pending",
            webhooks=(0,),
        ),
        Behaviour(
            name="duplicate-webhook",
            share=2,
            description="like webhook, but the webhook is sent twice, a second apart",
            answer_status="pending",
            webhooks=(0, 1),
        ),
        Behaviour(
            name="late-webhook",
            description="like webhook, but the webhook comes two minutes after settling",
            answer_status="pending",
            webhooks=(120,),
        ),
        Behaviour(
            name="silent",
            share=5,  # a fifth of the transactions that should get a webhook
            description="answers pending and settles later; the webhook never comes",
            answer_status="pending",
        ),
        Behaviour(name="decline", description="declined, in the create's own answer", final_status="declined"),
        Behaviour(
            name="refuse",
            description="every create is answered 422; the transaction never exists",
            http=422,
            exists=False,
        ),
        Behaviour(name="slow", description="like sync, but the answer takes 10 s", answer_seconds=10),
        Behaviour(
            name="ghost504",
            share=5,
            description="504 after 30 s; appears 30-120 s after the create began, final, without a webhook",
            http=504,
            first_only=True,
            answer_seconds=30,
            appears_seconds=(30, 120),
        ),
        Behaviour(
            name="lost504",
            share=5,
            description="504 after 30 s and never appears; a second create is like sync",
            http=504,
            exists=False,
            first_only=True,
            answer_seconds=30,
        ),
        Behaviour(
            name="drop",
            description="creates it, but closes the connection without an answer",
            http=DROPPED,
            first_only=True,
        ),
        Behaviour(
            name="conflict",
            description="creates it, but answers 409; further creates have no effect",
            http=409,
            keeps_first=True,
        ),
        Behaviour(
            name="throttle",
            description="the first create is answered 429 with Retry-After; the next is like sync",
            http=429,
            exists=False,
            first_only=True,
        ),
        Behaviour(
            name="contradict",
            description="answers completed, and 5 s later sends a webhook with status declined",
            final_status="completed",
            webhooks=(5,),
            webhook_status="declined",
        ),
        Behaviour(
            name="early-webhook",
            description="sends the final webhook before its answer to the create, which is pending",
            answer_status="pending",
            webhooks=(0,),
            early_webhook=True,
        ),
        Behaviour(
            name="unknown-word",
            description="answers the status processing_x, settles later and sends a webhook",
            answer_status="processing_x",
            webhooks=(0,),
        ),
    )
}
SHARED = [behaviour for behaviour in BEHAVIOURS.values() if behaviour.share]


def named_by(reference: str | None) -> Behaviour | None:
    """Return the behaviour that a reference names: `webhook`, `webhook-17`, `webhook#a`, `webhook-17:b`."""
    head = (reference or "").split("#")[0].split(":")[0]
    return BEHAVIOURS.get(head) or BEHAVIOURS.get(re.sub(r"-\d+$", "", head))


def choose(settings: Settings, reference: str | None, key: str) -> Behaviour:
    """Return the behaviour that the reference names, or one drawn by the shares from the seed and the key."""
    named = named_by(reference)
    if named is not None:
        return named
    weights = [behaviour.share for behaviour in SHARED]
    return settings.chance(key).choices(SHARED, weights)[0]
