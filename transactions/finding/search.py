"""Search for transactions by any id; each look-up is one exact match on an index."""

from uuid import UUID

from django.db.models import Q

from transactions.models import Client, Provider, Transaction
from webhooks.models import Webhook
from workers.ids import as_number, as_uuid
from workers.models import Job

MOST = 1000
"""Upper bound for the matches of each look-up; only references are shared by so many transactions."""
HELP = "A complete id: ours, the client's, the reference, a job number or a webhook id"


def known_as(term: str) -> list[UUID]:
    """Return the ids of the transactions that have this term as one of their ids."""
    ours, number = as_uuid(term), as_number(term)
    # Clients and providers are listed, because the indexes begin with them.
    clients = Client.objects.order_by().values("pk")
    found = [
        Transaction.objects.filter(client__in=clients, client_ref=term).values_list("pk", flat=True),
        Transaction.objects.filter(reference=term).values_list("pk", flat=True),
        Webhook.objects.filter(_with_id(term)).values_list("transaction_id", flat=True),
        *([Job.objects.filter(pk=number).values_list("transaction_id", flat=True)] if number else []),
    ]
    ids = {id_ for rows in found for id_ in rows.order_by()[:MOST] if id_}
    return list(ids | {ours} if ours else ids)


def webhooks_known_as(term: str) -> Q:
    """Return the condition for the webhooks with this id or, if there are none, for those of a transaction."""
    own = Webhook.objects.order_by().filter(_with_id(term)).values_list("pk", flat=True)[:MOST]
    return Q(pk__in=list(own)) if own else Q(transaction_id__in=known_as(term))


def _with_id(webhook_id: str) -> Q:
    return Q(provider__in=Provider.objects.order_by().values("pk"), webhook_id=webhook_id)
