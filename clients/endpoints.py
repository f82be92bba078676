"""The state of a client's endpoint: reading it, enabling the endpoint, recording the results of deliveries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from clients import sql
from clients.models import BY_STAFF, Client
from clients.settings import client_settings
from workers.announce import announce
from workers.foundation.database import rows
from workers.foundation.text import rfc3339
from workers.lanes import Lane
from workers.models import Job, JobKind, JobState
from workers.outcomes import Wake

log = structlog.get_logger(__name__)

FAILING_AFTER = 60.0
"""Seconds since the first failed delivery after which an endpoint is reported as failing. A notification has been tried
three times by then."""
BATCH = 1000
"""Maximum number of jobs rescheduled in one transaction, which bounds the time of their locks."""


class DisabledByStaff(Exception):
    """Staff have disabled this endpoint; only they can enable it again."""

    problem = "endpoint-disabled-by-staff"


@dataclass(slots=True)
class EndpointReport:
    """Results of a batch of deliveries to one endpoint."""

    confirmed: bool = False
    """At least one delivery was confirmed."""
    gone: bool = False
    """At least one delivery was answered 410 Gone."""


def endpoint_state(client_id: int) -> dict[str, Any]:
    """Return the endpoint as its client sees it, read from the database: cached settings may be seconds old."""
    client = Client.objects.get(pk=client_id)
    disabled, failing = client.endpoint_disabled_at, client.endpoint_failing_since
    return {
        "url": client.callback_url,
        "enabled": disabled is None,
        "disabled_at": rfc3339(disabled) if disabled else None,
        "disabled_reason": client.endpoint_disabled_why if disabled else None,
        "failing_since": rfc3339(failing) if failing else None,
    }


def enable_endpoint(client_id: int) -> None:
    """Enable an endpoint that the service disabled, and send its queued notifications at once.

    Does nothing if the endpoint is enabled. Raises DisabledByStaff. The notifications are rescheduled first: the lane
    is still stopped then, and a client that repeats the request after a crash finds the endpoint disabled.
    """
    client = Client.objects.get(pk=client_id)
    if client.endpoint_disabled_at is None:
        return
    if client.endpoint_disabled_why == BY_STAFF:
        raise DisabledByStaff
    reschedule_notifications(client_id)
    disabled_by_service = Client.objects.filter(pk=client_id).exclude(endpoint_disabled_why=BY_STAFF)
    disabled_by_service.update(endpoint_disabled_at=None, endpoint_disabled_why="", endpoint_failing_since=None)
    client_settings.cache_clear()
    announce([Wake(JobKind.NOTIFY, Lane.client(client_id))])


def reschedule_notifications(client_id: int) -> None:
    """Make the notifications that are waiting for a retry due now, and restart their retry schedule."""
    tried = Job.objects.filter(
        lane=Lane.client(client_id), kind=JobKind.NOTIFY, state=JobState.WAITING, claim_count__gt=0
    )
    later = tried.filter(Q(run_at__gt=Now()) | Q(tries__gt=0))
    while True:
        with transaction.atomic(durable=True):
            some = list(later.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
            Job.objects.filter(pk__in=some).update(run_at=Now(), tries=0)
        if not some:
            return


def report_deliveries(reports: Mapping[int, EndpointReport]) -> None:
    """Record, by client id, which endpoints fail and which have recovered. Disable those that are gone or have failed
    for ENDPOINT_DISABLED_AFTER seconds. Call it in the settling transaction."""
    if not reports:
        return
    disable_after = settings.ENDPOINT_DISABLED_AFTER
    deliveries = [{"id": client, "confirmed": one.confirmed, "gone": one.gone} for client, one in reports.items()]
    given: dict[str, Any] = {
        "deliveries": json.dumps(deliveries),
        "disable_after": disable_after,
        "why": f"every delivery has failed for {disable_after / 3600:g} hours",
    }
    for name, why in rows(sql.ENDPOINTS, **given):
        if why:
            log.warning("An endpoint is disabled", action="endpoint_disabled", client={"name": name, "why": why})
