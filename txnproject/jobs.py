"""The job table: each kind of job with its Dramatiq actor, its handler, and what loads and saves for it.

A message names lanes that have due jobs ("p7": 0.0). A lost, repeated or late message only delays work by up to a
second, because each worker also looks for due jobs itself. An actor therefore waits for the claim, not for the
work. The error it may raise is one of the infrastructure (the database is away): Dramatiq repeats the message.
"""

from collections.abc import Mapping
from typing import Any

import dramatiq
from django.conf import settings

from clients.settings import client_limit
from operators.actions import bulk
from operators.dashboard.counting import count_events
from providers.settings import provider_limit
from transactions import store, work
from transactions.handlers.create import create
from transactions.handlers.track import track
from webhooks.outgoing import deliveries
from webhooks.outgoing.notify import notify
from workers.engine import wake
from workers.kinds import JobTable, Kind
from workers.lanes import Lane
from workers.models import JobKind

_RETRIES: dict[str, Any] = {"max_retries": 10, "min_backoff": 250, "max_backoff": 30_000, "max_age": 300_000}


@dramatiq.actor(queue_name="create", **_RETRIES)
def create_at_provider(lanes: Mapping[str, float]) -> None:
    """Claim jobs of providers (lane → seconds until due) that have transactions to create."""
    wake(lanes)


@dramatiq.actor(queue_name="track", **_RETRIES)
def track_status(lanes: Mapping[str, float]) -> None:
    """Claim jobs of providers (lane → seconds until due) that have transactions to poll."""
    wake(lanes)


@dramatiq.actor(queue_name="notify", **_RETRIES)
def notify_client(lanes: Mapping[str, float]) -> None:
    """Claim jobs of clients (lane → seconds until due) that have notifications to send."""
    wake(lanes)


_CREATE = Kind(
    name=JobKind.CREATE,
    lease=settings.CREATE_LEASE,
    load=work.load,
    handle=create,
    save=work.save_results,
    after_settle=work.resume_polling,
    calls=2,  # a status check and the create
    actor=create_at_provider,
)
_TRACK = Kind(
    name=JobKind.TRACK,
    lease=settings.TRACK_LEASE,
    load=work.load,
    handle=track,
    save=work.save_results,
    after_settle=work.resume_polling,
    actor=track_status,
)
_NOTIFY = Kind(
    name=JobKind.NOTIFY,
    lease=settings.NOTIFY_LEASE,
    load=deliveries.load,
    handle=notify,
    save=deliveries.save_results,
    actor=notify_client,
)

JOBS = JobTable(
    kinds={kind.name: kind for kind in (_CREATE, _TRACK, _NOTIFY)},
    limits={Lane.PROVIDER: provider_limit, Lane.CLIENT: client_limit},
    lock=store.lock,
    periodic_tasks={"bulk runs": bulk.step, "count": count_events},
)
