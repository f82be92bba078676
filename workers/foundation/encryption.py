"""Secrets at rest: Fernet (AES-128-CBC and HMAC-SHA256) with ENCRYPTION_KEYS; the first key encrypts, all decrypt."""

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class SecretUnreadable(Exception):
    """A stored secret cannot be decrypted: check whether one of ENCRYPTION_KEYS is missing."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return the text of an encrypted token. Raises SecretUnreadable."""
    try:
        return _cipher(tuple(settings.ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


def is_current(token: str) -> bool:
    """Return True if the first key encrypted the token."""
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(token.encode())
    except InvalidToken:
        return False
    return True


def reencrypt(token: str) -> str:
    """Return the same text encrypted with the first key. Raises SecretUnreadable."""
    return encrypt(decrypt(token))


class EncryptedJSON(models.TextField):  # type: ignore[type-arg]  # Django's class is not generic at run time
    """JSON value that is encrypted in the database. Queries cannot filter by this field."""

    def to_python(self, value: Any) -> Any:
        return value  # any JSON value; a text field would convert it to text

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else json.loads(decrypt(value))

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else encrypt(json.dumps(value))
