"""API keys of clients, and secrets of clients and providers: create, rotate and revoke. For the admin and the commands.

With `by`, a change is written to the audit log. With `seen`, it is refused if the form is out of date (see `audit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, Q
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from clients.models import ApiKey, CallbackSecret, Client
from operators.audit import record, refuse_outdated
from providers.models import Provider, WebhookSecret, validate_webhook_secret
from providers.webhook_urls import webhook_url
from workers.foundation.webhook_secrets import new_secret

log = structlog.get_logger(__name__)

MAX_KEY_DAYS = 3650
"""Longest lifetime of an API key in days; a key without a lifetime does not expire."""


def first_of(owner: Client | Provider) -> list[type[Model]]:
    """Return the kinds of keys and secrets that a new client or provider needs."""
    if isinstance(owner, Client):
        return [ApiKey, CallbackSecret]
    return [] if owner.webhook_auth == Provider.Auth.URL_TOKEN else [WebhookSecret]


def issue_first(owner: Client | Provider, *, secret: str = "", by: User | None = None) -> dict[str, str]:
    """Issue the key and secret of a new client or provider; return them, and a provider's webhook URL, by name.

    Call it in the database transaction that inserts the owner. `by` issues only those that they have the permission
    for. Generates the secret unless one is given. Raises ValidationError for an invalid secret.
    """
    issued = {"webhook URL": webhook_url(owner)} if isinstance(owner, Provider) else {}
    for kind in first_of(owner) or ([WebhookSecret] if secret else []):
        if by is None or by.has_perm(add_permission(kind)):
            issued[str(kind._meta.verbose_name)] = (
                create_key(owner, name="first key", by=by)
                if isinstance(owner, Client) and kind is ApiKey
                else add_secret(owner, secret=secret, by=by)
            )
    return issued


def add_permission(kind: type[Model]) -> str:
    """Return the name of the permission to add a row of a model."""
    return f"{kind._meta.app_label}.add_{kind._meta.model_name}"


def create_key(
    client: Client, *, name: str, days: int | None = None, by: User | None = None, seen: int | None = None
) -> str:
    """Create an API key and return it. Only its hash is stored, so it cannot be shown again.

    The key expires after `days`; None: never. Raises Refused when `seen` is out of date, and ValidationError for an
    invalid name.
    """
    ApiKey._meta.get_field("name").clean(name, None)
    with _locked(client, seen):
        key = ApiKey.create_for(client, name=name, expires_at=_in(days))
        if by:
            record(by, client, f"Created the API key {key[:12]}… ({name})")
    log.info("An API key was created", action="key_created", key={"client": client.name, "begins": key[:12]})
    return key


def revoke_key(key: ApiKey, *, by: User | None = None) -> bool:
    """Revoke an API key: requests with it are refused within two seconds. False if it was revoked before."""
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now()):
            return False
        if by:
            record(by, key.client, f"Revoked the API key {key}")
    log.info("An API key was revoked", action="key_revoked", key={"client": key.client.name, "begins": key.prefix})
    return True


def add_secret(
    owner: Client | Provider,
    *,
    overlap_days: float | None = None,
    secret: str = "",
    by: User | None = None,
    seen: int | None = None,
) -> str:
    """Add a secret of a client (signs notifications) or of a provider (signs webhooks), and return it.

    Generates the secret unless one is given. Older secrets expire after `overlap_days`; None leaves them unchanged.
    Raises Refused when `seen` is out of date, and ValidationError for an invalid secret.
    """
    with _locked(owner, seen):
        if (end := _in(overlap_days)) is not None:
            secrets_of(owner).filter(Q(expires_at=None) | Q(expires_at__gt=end)).update(expires_at=end)
        secret = secret or new_secret()
        if isinstance(owner, Provider):
            validate_webhook_secret(owner.webhook_auth, secret)
        secrets = secrets_of(owner)
        added = secrets.model(**{secrets.field.name: owner}, secret=secret)
        added.full_clean()
        added.save(force_insert=True)
        if by:
            record(by, owner, f"Added the {added}")
    log.info("A secret was added", action="secret_added", secret={"of": str(owner), "number": added.pk})
    return secret


def secrets_of(owner: Client | Provider) -> Any:
    """Return the related manager of the owner's secrets."""
    return owner.callback_secrets if isinstance(owner, Client) else owner.webhook_secrets


@contextmanager
def _locked(owner: Client | Provider, seen: int | None) -> Iterator[None]:
    """Open a database transaction with the owner's row locked, so that concurrent changes take turns."""
    with transaction.atomic():
        type(owner)._default_manager.select_for_update().values_list("pk").get(pk=owner.pk)
        refuse_outdated(owner, seen)
        yield


def _in(days: float | None) -> CombinedExpression | None:
    return None if days is None else Now() + timedelta(days=days)
