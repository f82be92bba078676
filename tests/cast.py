"""Actors of the tests, created by the service's own code: alice owns, mallory does not; `third` is the provider."""

import itertools
from dataclasses import dataclass
from typing import Any

from clients.models import ApiKey, CallbackSecret, Client
from clients.settings import ClientSettings, client_settings, key_owner
from providers.models import Provider, WebhookSecret
from providers.settings import provider_by_id, provider_by_slug, slugs
from transactions.models import Transaction
from transactions.rewinds import high_water
from transactions.snapshot import TransactionSnapshot
from transactions.store import Order, accept
from txnproject.metrics import series
from workers.foundation.webhook_secrets import new_secret
from workers.models import Job

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Caller:
    """A client with its key and secret, as `createclient` prints them."""

    client: Client
    key: str
    secret: str

    @property
    def settings(self) -> ClientSettings:
        found = client_settings(self.client.pk)
        assert found is not None
        return found

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class Third:
    """A provider with its webhook secret, as `createprovider` prints them."""

    provider: Provider
    secret: str

    @property
    def settings(self) -> Provider:
        found = provider_by_slug(self.provider.slug)
        assert found is not None
        return found


def make_provider(slug: str = "third", **fields: Any) -> Third:
    fields.setdefault("base_url", "http://127.0.0.1:1/third-party")
    provider, secret = Provider.objects.create(slug=slug, **fields), new_secret()
    WebhookSecret.objects.create(provider=provider, secret=secret)
    return Third(provider, secret)


def make_client(name: str, provider: Provider | None, **fields: Any) -> Caller:
    fields.setdefault("callback_url", "http://127.0.0.1:1/callback")
    client, secret = Client.objects.create(name=name, default_provider=provider, **fields), new_secret()
    CallbackSecret.objects.create(client=client, secret=secret)
    return Caller(client, ApiKey.create_for(client), secret)


def order(provider: Provider, **fields: Any) -> Order:
    """Return a valid order with a new id."""
    given: dict[str, Any] = {
        "client_ref": f"order-{next(_numbers)}",
        "amount": 1250,
        "currency": "EUR",
        "reference": "",
        "metadata": {},
        "provider_named": False,
        **fields,
    }
    return Order(provider=provider, **given)


def accepted(caller: Caller, third: Third, **fields: Any) -> TransactionSnapshot:
    """Accept a transaction with its three jobs; return its snapshot."""
    record, new = accept(client=caller.settings, order=order(third.settings, **fields))
    assert new
    return record


def now(record: TransactionSnapshot) -> Transaction:
    """Return the transaction's current row."""
    return Transaction.objects.get(pk=record.id)


def job(record: TransactionSnapshot, kind: str, key: str = "") -> Job:
    return Job.objects.get(transaction_id=record.id, kind=kind, key=key or ("seq:1" if kind == "notify" else ""))


def due_now(**which: Any) -> None:
    """Make waiting jobs due, as if time had passed."""
    from django.db.models.functions import Now

    Job.objects.filter(state="waiting", **which).update(run_at=Now())


def clear_caches() -> None:
    """Let this process see changed settings of clients and providers at once, and know no earlier rows."""
    high_water.forget()
    for cached in (client_settings, key_owner, provider_by_id, provider_by_slug, slugs, series):
        cached.cache_clear()
