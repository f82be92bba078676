"""URLs to which providers send webhooks; those of providers that cannot sign contain a token."""

import hashlib
import hmac
from uuid import UUID

from django.conf import settings

from providers.models import Provider


def webhook_url(provider: Provider, id: UUID | None = None) -> str:
    """Return `{PUBLIC_URL}/webhooks/<provider>`, followed by `/<our id>/<token>` for the scheme `url-token`.

    Without `id`, the URL of that scheme has placeholders for both.
    """
    address = f"{settings.PUBLIC_URL}/webhooks/{provider.slug}"
    if provider.webhook_auth != Provider.Auth.URL_TOKEN:
        return address
    return (
        f"{address}/{id}/{url_tokens(provider.slug, id)[0]}" if id else f"{address}/<provider_transaction_id>/<token>"
    )


def url_tokens(slug: str, id: UUID) -> list[str]:
    """Return the tokens that authenticate a webhook of this provider for this transaction.

    They are the HMAC-SHA256 of both by each of ENCRYPTION_KEYS. New URLs have the first token; the others keep URLs
    valid that were sent before the keys were rotated.
    """
    message = f"webhook-url:{slug}:{id}".encode()
    return [hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in settings.ENCRYPTION_KEYS]
