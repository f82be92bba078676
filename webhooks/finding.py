"""Webhooks, and transactions by their webhooks, for `transactions.finding`."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from transactions import finding
from transactions.finding.filters import PROVIDER, choice
from transactions.finding.search import MOST
from transactions.models import Provider
from webhooks.models import RefusalCount, Webhook


def _with_id(webhook_id: str) -> Q:
    # The providers are named, for the index begins with them.
    return Q(provider__in=Provider.objects.order_by().values("pk"), webhook_id=webhook_id)


@finding.finder
def by_webhook(term: str) -> Iterable[UUID]:
    found = Webhook.objects.order_by().filter(_with_id(term)).values_list("transaction_id", flat=True)[:MOST]
    return [id_ for id_ in found if id_]


def _known_as(term: str, _: datetime) -> Q:
    if own := list(Webhook.objects.order_by().filter(_with_id(term)).values_list("pk", flat=True)[:MOST]):
        return Q(pk__in=own)
    return Q(transaction_id__in=finding.known_as(term))


finding.register(
    Webhook, finding.Filter("q", list, _known_as), choice("result", Webhook.Result.choices), PROVIDER
)  # fmt: skip
finding.register(RefusalCount, PROVIDER)
