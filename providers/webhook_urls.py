"""The address we hand to a provider for its webhooks, with a token for providers that cannot sign."""

import hashlib
import hmac
from uuid import UUID

from django.conf import settings

from providers.models import Provider
from providers.settings import ProviderSettings


def webhook_url(provider: ProviderSettings, id: UUID) -> str:
    """`{PUBLIC_URL}/webhooks/<provider>`, with `/<our id>/<token>` behind it for the scheme `url-token`."""
    address = f"{settings.PUBLIC_URL}/webhooks/{provider.slug}"
    if provider.webhook_auth == Provider.Auth.URL_TOKEN:
        return f"{address}/{id}/{url_tokens(provider.slug, id)[0]}"
    return address


def url_tokens(slug: str, id: UUID) -> list[str]:
    """The tokens that authenticate a webhook of this provider for this transaction: an HMAC-SHA256 of both, by each
    of ENCRYPTION_KEYS (the first makes new ones), so that rotating the keys does not shut out what is under way."""
    message = f"webhook-url:{slug}:{id}".encode()
    return [hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in settings.ENCRYPTION_KEYS]
