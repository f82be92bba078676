"""Secrets of Standard Webhooks (standardwebhooks.com, version 1)."""

import base64
import binascii
import secrets

SECRET_PREFIX = "whsec_"  # noqa: S105  the specification's prefix, no secret


def new_secret() -> str:
    """Return a new secret: `whsec_` and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """Return the key in `whsec_<base64>`. Raises ValueError for any other text."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret must start with {SECRET_PREFIX}")
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret must be base64 after its prefix") from error
