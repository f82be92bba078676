"""Unmatched webhooks: counted for operators, and applied once their transaction exists.

A database that has lost a transaction in a failover stores the provider's webhook as unmatched. When the client posts
the transaction again, it gets the same id, and the webhook is applied.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from providers.answers import reason_of
from providers.settings import provider_by_id
from transactions.models import Transaction
from transactions.store import apply
from webhooks import sql
from webhooks.incoming.bodies import Malformed, parse
from webhooks.incoming.services import judge, observation_of
from webhooks.models import Webhook
from workers.announce import announce
from workers.foundation.database import rows
from workers.foundation.formatting import MOST
from workers.foundation.ids import as_uuid
from workers.outcomes import Wake
from workers.periodic import Walk

AT_ONCE = 200
"""Number of unmatched webhooks whose transactions are searched in one step."""

_walk = Walk(lambda after: rows(sql.UNMATCHED, after=after, most=AT_ONCE), 0, every=1.0)


def step() -> bool:
    """Apply the next unmatched webhooks whose transaction exists by now. A periodic task."""
    heard = {id_: (of, provider) for id_, provider, given in _walk.step() if (of := as_uuid(given))}
    if heard:
        known = Transaction.objects.filter(pk__in={of for of, _ in heard.values()})
        exist = set(known.values_list("pk", "provider_id"))
        for id_ in [id_ for id_, of in heard.items() if of in exist]:
            announce(_apply(Webhook.objects.get(pk=id_), heard[id_][0]))
    return False


def count() -> int:
    """Return the number of unmatched webhooks of the last day, up to `MOST`."""
    [(number,)] = rows(sql.COUNT_UNMATCHED, most=MOST)
    return int(number)


def _apply(heard: Webhook, of: UUID) -> list[Wake]:
    """Apply a webhook to its transaction and record the effect, in one database transaction; return lanes to wake."""
    if (provider := provider_by_id(heard.provider_id)) is None:
        return []
    seen = observation_of(provider, heard.webhook_id, heard.word, reason_of(_data(heard.body)))
    with transaction.atomic(durable=True):
        applied, wakes = apply([(of, seen)])
        still = Webhook.objects.filter(pk=heard.pk, result=Webhook.Result.UNMATCHED)  # after `apply`, as `receive` does
        if not applied or not still.update(transaction_id=of, result=judge(applied)):
            transaction.set_rollback(True)
            return []
    return wakes


def _data(body: str) -> Mapping[str, Any]:
    """Return the content of a stored body; empty if it is not JSON, as only its content type told the form."""
    try:
        data = parse(body.encode(), "application/json")
    except Malformed:
        return {}
    return data if isinstance(data, dict) else {}
