"""What staff may do to the secrets and keys of clients and providers, and to circuit breakers."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Max

from transactions import credentials
from transactions.credentials import secrets_of
from transactions.models import ApiKey, Client, Provider


def create_key(*, client: Client, name: str, lasts: timedelta | None, by: User, newest: int) -> str | None:
    """A new API key, to be shown once. None when `newest` is not the client's newest key any more: the button was
    pressed twice, or somebody else was faster."""
    with transaction.atomic(durable=True):
        credentials.lock(client)
        if newest_key(client) != newest:
            return None
        key = credentials.add_key(client, name=name, lasts=lasts)
        _log(by, client, f"Created the API key {key[:12]}… ({name})")
    return key


def revoke_key(*, key_id: int, by: User) -> bool:
    """Revoke an API key; it takes effect everywhere within two seconds. False when it was revoked before."""
    with transaction.atomic(durable=True):
        key = ApiKey.objects.select_related("client").get(pk=key_id)
        if not credentials.revoke(key_id):
            return False
        _log(by, key.client, f"Revoked the API key {key}")
    return True


def add_secret(
    *, owner: Client | Provider, overlap: timedelta | None, by: User, newest: int, secret: str | None = None
) -> str | None:
    """A new secret of a client (it signs notifications) or provider (it signs webhooks), to be shown once; or the
    given one.

    The ones before it end after `overlap`; None keeps them. Returns None when `newest` is not the newest any more.
    """
    with transaction.atomic(durable=True):
        credentials.lock(owner)
        if newest_secret(owner) != newest:
            return None
        added = credentials.add_secret(owner, overlap=overlap, secret=secret or "")
        _log(by, owner, f"Added the {added}")
    return str(added.secret)


def newest_key(client: Client) -> int:
    """The id of the newest API key; 0 for none."""
    return client.api_keys.aggregate(newest=Max("pk"))["newest"] or 0


def newest_secret(owner: Client | Provider) -> int:
    """The id of the newest secret; 0 for none."""
    newest: int | None = secrets_of(owner).aggregate(newest=Max("pk"))["newest"]
    return newest or 0


def _log(by: User, what: models.Model, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [what], CHANGE, message, single_object=True)
