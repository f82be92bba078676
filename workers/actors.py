"""The Dramatiq actors, one a kind of job and each on its own queue.

A message says only "these lanes have due jobs": lost, repeated or late, it changes nothing but a delay of at most
the dispatcher's second. So an actor waits for the claim, not for the work, and what it may raise is infrastructure
(the database is away): Dramatiq's Retries middleware repeats it with exponential backoff.
"""

from collections.abc import Mapping
from typing import Any

import dramatiq

from workers import engine

CLAIM_TIMEOUT = 40
"""Seconds to wait for a claim: longer than the database's own statement timeout, so that its error is what we see."""

_RETRIES: dict[str, Any] = {"max_retries": 10, "min_backoff": 250, "max_backoff": 30_000, "max_age": 300_000}


@dramatiq.actor(queue_name="create", **_RETRIES)
def create_at_provider(lanes: Mapping[str, float]) -> None:
    """Providers (`lanes`: lane → seconds until due) have transactions to create."""
    _wake(lanes)


@dramatiq.actor(queue_name="track", **_RETRIES)
def track_status(lanes: Mapping[str, float]) -> None:
    """Providers (`lanes`: lane → seconds until due) have transactions to poll."""
    _wake(lanes)


@dramatiq.actor(queue_name="notify", **_RETRIES)
def notify_client(lanes: Mapping[str, float]) -> None:
    """Clients (`lanes`: lane → seconds until due) have news to be told."""
    _wake(lanes)


BY_KIND: dict[str, "dramatiq.Actor[[Mapping[str, float]], None]"] = {
    "create": create_at_provider,
    "track": track_status,
    "notify": notify_client,
}


def _wake(lanes: Mapping[str, float]) -> None:
    if engine.running is None:
        raise RuntimeError("no engine runs in this process: start it by `manage.py rundramatiq`")
    claims = [engine.running.wake(lane, after) for lane, after in lanes.items()]
    for claim in claims:
        if claim is not None:
            claim.result(CLAIM_TIMEOUT)
