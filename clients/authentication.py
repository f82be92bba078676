"""Authentication by API key: `Authorization: Bearer <api key>`."""

from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from clients.models import ApiKey
from clients.settings import ClientSettings, client_settings, key_owner


class KeyDisabled(exceptions.APIException):
    """The key is revoked or expired, or its client is disabled."""

    problem = "key-disabled"


class ApiKeyAuthentication(BaseAuthentication):
    """Authentication by the SHA-256 of the key: one indexed look-up every two seconds, without a slow hash."""

    def authenticate(self, request: Request) -> tuple[ClientSettings, None]:
        scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or not key.isascii():
            raise exceptions.NotAuthenticated
        owner = key_owner(ApiKey.digest_of(key))
        if owner is None:
            raise exceptions.AuthenticationFailed
        client = client_settings(owner.client_id)
        if not owner.usable or client is None or not client.enabled:
            raise KeyDisabled
        return client, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
