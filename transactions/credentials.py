"""API keys and secrets: made, rotated and ended, whoever asks for it. Each in the caller's database transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from transactions.models import ApiKey, CallbackSecret, Client, Provider, WebhookSecret
from transactions.models.providers import validate_webhook_secret
from transactions.signing import new_secret


def lock(owner: Client | Provider) -> None:
    """Two who add a key or secret come in turn."""
    type(owner)._default_manager.select_for_update().values_list("pk").get(pk=owner.pk)


def add_key(client: Client, *, name: str, lasts: timedelta | None) -> str:
    """A new API key: it is stored nowhere, so whoever gets it here must keep it."""
    return ApiKey.create_for(client, name=name, expires_at=_in(lasts))


def revoke(key_id: int) -> bool:
    """Revoke an API key; it takes effect everywhere within two seconds. False when it was revoked before."""
    return bool(ApiKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=datetime.now(UTC)))


def add_secret(
    owner: Client | Provider, *, overlap: timedelta | None, secret: str = ""
) -> CallbackSecret | WebhookSecret:
    """A new secret of a client (it signs notifications) or provider (it signs webhooks): this one, or a fresh one.

    The ones before it end after `overlap`; None keeps them. Raises ValidationError for a secret that is none.
    """
    secrets = secrets_of(owner)
    if (end := _in(overlap)) is not None:
        secrets.filter(Q(expires_at=None) | Q(expires_at__gt=end)).update(expires_at=end)
    # Built by hand: a manager's `create` would store it unchecked.
    added: CallbackSecret | WebhookSecret
    if isinstance(owner, Client):
        added = CallbackSecret(client=owner, secret=secret or new_secret())
    else:
        added = WebhookSecret(provider=owner, secret=secret or new_secret())
        validate_webhook_secret(owner.webhook_auth, added.secret)
    added.full_clean()
    added.save(force_insert=True)
    return added


def secrets_of(owner: Client | Provider) -> Any:
    """The related manager of its secrets."""
    return owner.callback_secrets if isinstance(owner, Client) else owner.webhook_secrets


def _in(time: timedelta | None) -> datetime | None:
    return None if time is None else datetime.now(UTC) + time
