"""Authentication by API key: `Authorization: Bearer <api key>`."""

import threading

from cachetools import TTLCache
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from clients.models import ApiKey
from clients.settings import ClientSettings, client_settings, key_owner
from workers.foundation.cache import MAX_VALUES

IN_USE = 600.0
"""Seconds for which a key is in use after each request with it."""
_in_use: TTLCache[str, bool] = TTLCache(MAX_VALUES, IN_USE)
_lock = threading.Lock()


class KeyDisabled(exceptions.APIException):
    """The key is revoked or expired, or its client is disabled."""

    problem = "key-disabled"


class ApiKeyAuthentication(BaseAuthentication):
    """Authentication by the SHA-256 of the key: one indexed look-up every two seconds, without a slow hash."""

    def authenticate(self, request: Request) -> tuple[ClientSettings, None]:
        digest = _digest(request.META.get("HTTP_AUTHORIZATION", ""))
        if digest is None:
            raise exceptions.NotAuthenticated
        owner = key_owner(digest)
        if owner is None:
            raise exceptions.AuthenticationFailed
        client = client_settings(owner.client_id)
        if not owner.usable or client is None or not client.enabled:
            raise KeyDisabled
        with _lock:
            _in_use[digest] = True
        return client, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def is_in_use(authorization: str) -> bool:
    """Return whether the key in this header was valid within `IN_USE` seconds. This authenticates no request."""
    digest = _digest(authorization)
    with _lock:
        return digest in _in_use


def _digest(authorization: str) -> str | None:
    """Return the SHA-256 of the key in an `Authorization` header; None without one."""
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    return ApiKey.digest_of(key) if scheme.lower() == "bearer" and key and key.isascii() else None
