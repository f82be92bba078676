"""The job table: each kind of job with its Dramatiq actor, its handler, and the functions that load and save for it.

A message holds lanes and the seconds until their jobs are due ("p7": 0.0). A lost, repeated or late message only delays
work by up to a second, because each worker also looks for due jobs itself. An actor therefore waits for the claim and
not for the work. It raises an error only if the infrastructure fails, such as the database: Dramatiq then repeats the
message.
"""

from functools import partial
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
from transactions.rewinds import high_water
from webhooks.incoming import unmatched
from webhooks.outgoing import deliveries
from webhooks.outgoing.notify import notify
from workers import clock
from workers.engine import wake
from workers.kinds import JobTable, Kind
from workers.lanes import Lane
from workers.models import JobKind

_RETRIES: dict[str, Any] = {"max_retries": 10, "min_backoff": 250, "max_backoff": 30_000, "max_age": 300_000}

create_at_provider = dramatiq.actor(actor_name="create_at_provider", queue_name="create", **_RETRIES)(wake)
track_status = dramatiq.actor(actor_name="track_status", queue_name="track", **_RETRIES)(wake)
notify_client = dramatiq.actor(actor_name="notify_client", queue_name="notify", **_RETRIES)(wake)

_provider_kind = partial(Kind, load=work.load, save=work.save_results, after_settle=work.resume_polling)
_KINDS = (
    # calls: a status check and the create
    _provider_kind(JobKind.CREATE, settings.CREATE_LEASE, handle=create, actor=create_at_provider, calls=2),
    _provider_kind(JobKind.TRACK, settings.TRACK_LEASE, handle=track, actor=track_status),
    Kind(
        JobKind.NOTIFY,
        settings.NOTIFY_LEASE,
        load=deliveries.load,
        handle=notify,
        save=deliveries.save_results,
        actor=notify_client,
    ),
)

JOBS = JobTable(
    kinds={kind.name: kind for kind in _KINDS},
    limits={Lane.PROVIDER: provider_limit, Lane.CLIENT: client_limit},
    lock=store.lock,
    periodic_tasks={
        "lost commits": high_water.step,  # first, see `workers.lifecycle`
        "bulk runs": bulk.step,
        "count": count_events,
        "stalled": store.flag_stalled,
        "clock": clock.database.move_jobs,
        "unmatched webhooks": unmatched.step,
    },
)
