"""System checks on the environment: each says what is wrong and what to put there, and stops the boot."""

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

MIN_SECRET_KEY = 50  # characters: what `manage.py check --deploy` asks for, too


@register
def check_environment(**_: Any) -> list[CheckMessage]:
    return [*_secret_key(), *_encryption_keys(), *_stores(), *_addresses(), *_words()]


def _secret_key() -> Iterator[Error]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if len(key) < MIN_SECRET_KEY:
        yield Error(
            f"SECRET_KEY is {'not set' if not key else 'too short'}",
            hint=f"Set it to at least {MIN_SECRET_KEY} random characters: "
            "python -c 'import secrets; print(secrets.token_urlsafe(50))'",
            id="txnproject.E001",
        )


def _encryption_keys() -> Iterator[Error]:
    hint = (
        "A comma separated list of 32 random bytes each in url-safe base64, the first one encrypts: "
        "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
    )
    if not settings.ENCRYPTION_KEYS:
        yield Error("ENCRYPTION_KEYS is not set", hint=hint, id="txnproject.E002")
    for place, key in enumerate(settings.ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            yield Error(f"ENCRYPTION_KEYS: key number {place} is not a valid key", hint=hint, id="txnproject.E003")


def _stores() -> Iterator[Error]:
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.postgresql" or database["NAME"] in ("", "unset"):
        yield Error(
            "DATABASE_URL does not name a PostgreSQL database",
            hint="postgresql://user:password@host:5432/name, or postgresql://user@/name?host=/folder for a socket",
            id="txnproject.E004",
        )
    if urlsplit(settings.BROKER_URL).scheme not in ("redis", "rediss", "unix", "amqp", "amqps"):
        yield Error(
            "BROKER_URL does not name a broker",
            hint="redis://host:6379/0 (Redis or Valkey; rediss:// for TLS), or amqp://user:password@host:5672",
            id="txnproject.E005",
        )


def _addresses() -> Iterator[Error]:
    if not settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS is not set",
            hint="The comma separated host names under which clients and providers call this service",
            id="txnproject.E006",
        )
    public = urlsplit(settings.PUBLIC_URL)
    wanted = ("https",) if settings.TLS != "off" else ("http", "https")
    if public.scheme not in wanted or not public.netloc:
        yield Error(
            f"PUBLIC_URL is not an address that starts with {' or '.join(wanted)}://",
            hint="The address under which providers reach this service: their webhooks are sent there",
            id="txnproject.E007",
        )
    sandbox = urlsplit(settings.SANDBOX_URL)
    if settings.SANDBOX_URL and not (sandbox.scheme in ("http", "https") and sandbox.netloc):
        yield Error(
            "SANDBOX_URL is not an address that starts with http:// or https://",
            hint="The address of the sandbox's page, for a link to it on ours. Leave it out where no sandbox runs",
            id="txnproject.E010",
        )


def _words() -> Iterator[Error]:
    if settings.TLS not in ("on", "off"):
        yield Error("TLS is neither on nor off", hint="off is for loopback use only", id="txnproject.E008")
    if settings.STATUS_BY_HAND_NEEDS_TWO not in ("on", "off"):
        yield Error(
            "STATUS_BY_HAND_NEEDS_TWO is neither on nor off",
            hint="on: a status that one person sets by hand waits for another to approve it",
            id="txnproject.E011",
        )
    if settings.LOG_LEVEL not in logging.getLevelNamesMapping():
        yield Error(
            f"LOG_LEVEL {settings.LOG_LEVEL!r} is no level",
            hint="DEBUG, INFO, WARNING, ERROR or CRITICAL",
            id="txnproject.E009",
        )
