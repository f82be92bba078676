"""Realistic data of one day, for the screenshots: `python -m tests.browser.lively`, before a worker runs.

It creates shops, banks and their transactions since yesterday, some of them with problems. The data is the same in
every run, except for the time of day. The program prints an operator's session and each shop's API key as JSON.
"""

import json
import math
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import django

SHOPS = ("web-shop", "marketplace", "subscriptions")
BANKS = ("northbank", "cardhub", "instant-pay")
DAY = 24 * 60
NOT_NOTIFIED = 400
"""Number of failed notifications of the night: the rows of the bulk run."""

chance = Random(1)


def main() -> None:
    django.setup()
    json.dump(everything(), sys.stdout)


def everything() -> dict[str, Any]:
    from clients.models import ApiKey, CallbackSecret, Client
    from providers.models import Provider
    from tests.browser.seed import sessions

    sandbox, demo = Provider.objects.get(), Client.objects.get()
    secret = CallbackSecret.objects.get(client=demo).secret
    banks = [copy_of(sandbox, slug=name) for name in BANKS]
    shops = [copy_of(demo, name=name, default_provider_id=bank.pk) for name, bank in zip(SHOPS, banks, strict=True)]
    for shop in shops:
        CallbackSecret.objects.create(client=shop, secret=secret)
    yesterday(shops, banks)
    night(shops[2], banks[2])
    keys = {shop.name: ApiKey.create_for(shop) for shop in shops}
    return {"session": sessions()["operator"], "keys": keys}


def copy_of(row: Any, **changed: Any) -> Any:
    fields = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in ("id", "namespace")
    }
    return type(row).objects.create(**(fields | {"created_at": datetime.now(UTC) - timedelta(days=90)} | changed))


def yesterday(shops: list[Any], banks: list[Any]) -> None:
    """Create the transactions of the last day with their timelines; more by day than by night."""
    from transactions.models import Event, Transaction

    made, start = [], datetime.now(UTC) - timedelta(days=1)
    for minute in range(DAY):
        count = round(9 + 6 * math.sin(minute / DAY * math.tau) + chance.uniform(-2, 2))
        for nth in range(count):
            at = start + timedelta(minutes=minute + nth / count)
            made.append(one(at, shops, banks, number=10_000 + 100 * minute + nth))
    Transaction.objects.bulk_create(made, batch_size=2000)
    Event.objects.bulk_create((event for it in made for event in events(it)), batch_size=5000)


def night(shop: Any, bank: Any) -> None:
    """Create transactions whose notifications failed for good during an outage of the endpoint."""
    from django.db.models import F

    from tests.browser.seed import not_notified
    from tests.cast import Caller, Third, accepted
    from transactions.models import Event, Transaction

    caller, third = Caller(shop, key="", secret=""), Third(bank, secret="")
    made = [accepted(caller, third, client_ref=f"renewal-{number}").id for number in range(NOT_NOTIFIED)]
    not_notified(made)
    for nth, id_ in enumerate(made):
        ago = timedelta(hours=12) - timedelta(minutes=nth)
        Event.objects.filter(transaction=id_).update(at=F("at") - ago)
        times = ("created_at", "updated_at", "finalised_at")
        Transaction.objects.filter(pk=id_).update(**{name: F(name) - ago for name in times})


def one(at: datetime, shops: list[Any], banks: list[Any], number: int) -> Any:
    from transactions.models import Transaction

    who = chance.choices(range(len(shops)), (5, 3, 2))[0]
    status = chance.choices(("completed", "declined", "failed"), (92, 6, 2))[0]
    final = at + timedelta(seconds=chance.lognormvariate(0.6, 0.9))
    return Transaction(
        id=uuid4(), sort_id=id_of(at), client=shops[who], client_ref=f"order-{number}", provider=banks[who],
        amount=round(100 * chance.lognormvariate(3.5, 0.8)), currency="EUR", reference=f"Invoice {number}",
        status=status, submission="refused" if status == "failed" else "created", sequence=2,
        failure_code="refused" if status == "failed" else "",
        failure_detail="422: the account is closed" if status == "failed" else "",
        create_began_at=at, created_at=at, updated_at=final, finalised_at=final,
        notified_sequence=2, notified_at=final + timedelta(seconds=0.2),
    )  # fmt: skip


def events(it: Any) -> Iterator[Any]:
    from transactions.models import Event

    yield Event(transaction=it, at=it.created_at, kind="status", status="pending", sequence=1, source="api")
    source = chance.choices(("create", "webhook", "poll"), (70, 22, 8))[0]
    yield Event(transaction=it, at=it.finalised_at, kind="status", status=it.status, sequence=2, source=source)


def id_of(at: datetime) -> UUID:
    """Return a UUID of version 7 for this time, like those of `workers.foundation.ids`."""
    value = int(at.timestamp() * 1000) << 80 | chance.getrandbits(80)
    return UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txnproject.settings")
    main()
