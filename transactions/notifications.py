"""Repeated notifications of the current status."""

from uuid import uuid4

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from transactions.models import Transaction
from transactions.snapshot import TransactionSnapshot
from workers.announce import announce
from workers.lanes import Lane
from workers.models import Job, JobKind, JobState
from workers.outcomes import Wake


def notify_again(snapshot: TransactionSnapshot) -> None:
    """Send the current status to the client's endpoint now, by its waiting notification if there is one."""
    with transaction.atomic(durable=True):
        wake = schedule_notification(Transaction.objects.select_for_update().get(pk=snapshot.id))  # one at a time
    announce([wake])


def schedule_notification(of: Transaction) -> Wake:
    """Schedule it in the transaction that holds the row's lock; the caller announces the wake after the commit."""
    lane = Lane.client(of.client_id)
    if not waiting_notifications(of).update(run_at=Now()):
        key = f"again:{uuid4()}"
        Job.objects.create(transaction_id=of.pk, kind=JobKind.NOTIFY, key=key, lane=lane, share=of.client_id)
    return Wake(JobKind.NOTIFY, lane)


def waiting_notifications(of: Transaction) -> QuerySet[Job]:
    """Return the waiting notifications of the current status; those of an earlier status will not be sent."""
    current = Q(key=f"seq:{of.sequence}") | Q(key__startswith="again:")
    return Job.objects.filter(current, transaction_id=of.pk, kind=JobKind.NOTIFY, state=JobState.WAITING)
