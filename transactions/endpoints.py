"""State of a client's endpoint, and how it is enabled again."""

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from transactions.config import client_settings
from transactions.models import Client
from transactions.models.clients import BY_STAFF
from transactions.records import rfc3339
from workers.announce import announce
from workers.models import Job, JobState
from workers.registry import Wake

AT_ONCE = 1000
"""Jobs updated in one database transaction, so that their locks are held briefly."""


class DisabledByStaff(Exception):
    """Staff have disabled this endpoint; only staff can enable it again."""


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
    """Enable an endpoint that the service has disabled, and send its queued notifications now. Raises DisabledByStaff.

    Does nothing if the endpoint is enabled. Makes the notifications due first: workers take no jobs from a stopped
    lane, and after a crash in between the endpoint is still disabled, so that the client can repeat the request.
    """
    client = Client.objects.get(pk=client_id)
    if client.endpoint_disabled_at is None:
        return
    if client.endpoint_disabled_why == BY_STAFF:
        raise DisabledByStaff
    hasten_notifications(client_id)
    service_did = Client.objects.filter(pk=client_id).exclude(endpoint_disabled_why=BY_STAFF)
    service_did.update(endpoint_disabled_at=None, endpoint_disabled_why="", endpoint_failing_since=None)
    client_settings.cache_clear()
    announce([Wake("notify", f"c{client_id}")])


def hasten_notifications(client_id: int) -> None:
    """Make notifications that were tried before due now, and restart their retries."""
    tried = Job.objects.filter(lane=f"c{client_id}", kind="notify", state=JobState.WAITING, attempt__gt=0)
    later = tried.filter(Q(run_at__gt=Now()) | Q(step__gt=0))
    while True:
        with transaction.atomic(durable=True):
            some = list(later.select_for_update(skip_locked=True).values_list("pk", flat=True)[:AT_ONCE])
            Job.objects.filter(pk__in=some).update(run_at=Now(), step=0)
        if not some:
            return
