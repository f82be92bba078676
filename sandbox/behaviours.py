"""Behaviours of the third party, and the choice of one for a transaction.

A behaviour describes the first create of an id. With `first_only`, later ones behave like `sync`. All durations are
in seconds at normal speed.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox import manners
from sandbox.manners import Manner, polite
from sandbox.settings import Settings

DROPPED = 0  # instead of an HTTP status: the connection is closed without an answer
DECLINED_SHARE = 0.1
ALL = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the third party answers a create, and what its effects are."""

    name: str
    description: str
    share: float = 0  # percentage of the transactions whose reference names no behaviour
    http: int = 201  # status of the answer to the create
    exists: float = 1  # probability that the create has an effect
    first_only: bool = False
    keeps_first: bool = False  # a second create has no effect
    answer_seconds: float | None = None  # None: drawn from --answer-seconds
    appears_seconds: tuple[float, float] | None = None  # since the create began; None: with its answer
    answer_status: str | None = None  # status in the create's answer, until it settles; None: final at once
    final_status: str | None = None  # None: drawn, `declined` for DECLINED_SHARE of them
    webhooks: tuple[float, ...] = ()  # times at which they are sent, since it settled
    webhook_status: str | None = None  # None: the final status
    early_webhook: bool = False  # settles and sends its webhook half-way to the create's answer
    create_manner: Manner = polite  # of the answers to creates
    read_manner: Manner = polite  # of the answers to status checks since the first create
    odd_reads: int = ALL  # number of status checks that are answered in this manner; the later ones politely
    words: Mapping[str, object] = field(default_factory=dict)  # JSON values of statuses, instead of the statuses


SYNC = Behaviour(name="sync", share=65, description="the final status is in the create's own answer")

COMMON: tuple[Behaviour, ...] = (
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
        exists=0,
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
        exists=0,
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
        exists=0,
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
"""Behaviours that differ in the outcome and its timing."""

ODD: tuple[Behaviour, ...] = (
    Behaviour(
        name="close-early",
        description="like sync; every connection is closed 0-50 ms after its answer, which announces keep-alive",
        create_manner=manners.early_close,
        read_manner=manners.early_close,
    ),
    Behaviour(
        name="html-200",
        description="the first create is answered 200 with an HTML page; half of them take effect",
        http=200,
        exists=0.5,
        first_only=True,
        create_manner=manners.html,
    ),
    Behaviour(
        name="no-status",
        description="creates are answered with the id only; appears 1-20 s later, until then reads have no status",
        appears_seconds=(1, 20),
        create_manner=manners.no_status,
        read_manner=manners.no_status,
    ),
    Behaviour(
        name="huge",
        description="like webhook, with answers of 20 to 900 KB",
        answer_status="pending",
        webhooks=(0,),
        create_manner=manners.huge,
        read_manner=manners.huge,
    ),
    Behaviour(
        name="bad-bytes",
        description="like silent; answers have invalid UTF-8, a byte order mark, odd values or another charset",
        answer_status="pending",
        create_manner=manners.bad_bytes,
        read_manner=manners.bad_bytes,
    ),
    Behaviour(
        name="mislabelled",
        description="like sync; creates and the first 2 reads are plain JSON labelled as br, gzip, deflate, ...",
        create_manner=manners.mislabelled,
        read_manner=manners.mislabelled,
        odd_reads=2,
    ),
    Behaviour(
        name="big-header",
        description="like silent; answers have a header line of 9 to 60 KB",
        answer_status="pending",
        create_manner=manners.big_header,
        read_manner=manners.big_header,
    ),
    Behaviour(
        name="slow-body",
        description="like sync; the bodies of creates and the first 2 reads drip, never end, or break off",
        create_manner=manners.slow_body,
        read_manner=manners.slow_body,
        odd_reads=2,
    ),
    Behaviour(
        name="decline-402",
        description="every create is answered 402 with the reason in error.message; it never exists",
        http=402,
        exists=0,
        create_manner=manners.card_declined,
    ),
    Behaviour(
        name="bool-status",
        description="like webhook; the final status is true (completed) or false (declined)",
        answer_status="pending",
        webhooks=(0,),
        words={"completed": True, "declined": False},
    ),
    Behaviour(
        name="number-status",
        description="like webhook; the status is 0 (pending), 1 (completed) or 2 (declined)",
        answer_status="pending",
        webhooks=(0,),
        words={"pending": 0, "completed": 1, "declined": 2},
    ),
    Behaviour(
        name="forbidden-one",
        description="the first create and the next read are answered 403; the next create is like sync",
        http=403,
        exists=0,
        first_only=True,
        create_manner=manners.forbidden,
        read_manner=manners.forbidden,
        odd_reads=1,
    ),
    Behaviour(
        name="forbidden-reads",
        description="created pending, without a webhook; the first 2 reads are answered 403",
        answer_status="pending",
        read_manner=manners.forbidden,
        odd_reads=2,
    ),
    Behaviour(
        name="retry-after-junk",
        description="the first create and the next read are answered 429 with a Retry-After that is no number",
        http=429,
        exists=0,
        first_only=True,
        create_manner=manners.junk_wait,
        read_manner=manners.junk_wait,
        odd_reads=1,
    ),
    Behaviour(
        name="retry-after-huge",
        description="like webhook; the first read is answered 429 with a Retry-After of centuries",
        answer_status="pending",
        webhooks=(0,),
        read_manner=manners.huge_wait,
        odd_reads=1,
    ),
)
"""Behaviours that differ in the form of the answers."""

BEHAVIOURS: dict[str, Behaviour] = {behaviour.name: behaviour for behaviour in (*COMMON, *ODD)}
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
