"""System checks of the environment. Each error says what is wrong and what to set, and stops the boot."""

import logging
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from txnproject.environment import KEEP_ALIVE_BOUNDS
from workers.foundation.broker_url import check_broker_url
from workers.foundation.checks import Rule, error_of, register_row_checks, register_rules
from workers.foundation.hosts import form_origin, host_name, host_pattern, origin
from workers.foundation.session_settings import MissingSettings, check_session

LISTS = [
    ("ALLOWED_HOSTS", host_pattern, "Set host names such as relay.example, or .relay.example for a domain; no ports"),
    (
        "OUTBOUND_ALLOWED_HOSTS",
        host_name,
        "Set host names or IP addresses such as shop.example; no ports, no wildcards",
    ),
    ("CSRF_TRUSTED_ORIGINS", form_origin, "Set origins such as https://relay.example or https://*.relay.example"),
    ("CORS_ALLOWED_ORIGINS", origin, "Set origins such as https://shop.example, as browsers send them"),
]
"""Lists of hosts and origins: their names, the functions that read an entry, and hints."""
KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
MIN_SECRET_KEY = 50
"""Least number of characters; `manage.py check --deploy` asks for as many."""


@register_rules
def keys() -> Iterator[Rule]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    hint = (
        f"Set it to at least {MIN_SECRET_KEY} random characters: "
        "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    )
    message = f"SECRET_KEY is {'too short' if key else 'not set'}"
    yield len(key) < MIN_SECRET_KEY, "txnproject.E001", message, hint
    hint = (
        "Set comma-separated keys of 32 random bytes in URL-safe base64; the first one encrypts: "
        "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
    )
    yield not settings.ENCRYPTION_KEYS, "txnproject.E002", "ENCRYPTION_KEYS is not set", hint
    for place, key in enumerate(settings.ENCRYPTION_KEYS, start=1):
        # Fernet ignores other characters in a key; the tokens in webhook URLs would depend on them.
        wrong = error_of(Fernet, key) or not KEY.fullmatch(key)
        yield wrong, "txnproject.E003", f"ENCRYPTION_KEYS: key number {place} is not a valid key", hint


@register_rules
def stores() -> Iterator[Rule]:
    database = settings.DATABASES["default"]
    wrong = database["ENGINE"] != "django.db.backends.postgresql" or database["NAME"] in ("", "unset")
    escape = "Write special characters of a user or password as percent codes, such as %40 for @ and %2F for /"
    form = "postgresql://user:password@host:5432/name, or postgresql://user@/name?host=/folder for a socket"
    hint = f"Set {form}. {escape}"
    yield wrong, "txnproject.E004", "DATABASE_URL does not name a PostgreSQL database", hint
    hint = (
        "Set redis://user:password@host:6379/0 (Redis or Valkey; rediss:// for TLS), unix:///path/to/socket, "
        "redis+sentinel://host:26379,host:26379/service/0, or amqp://user:password@host:5672 (amqps:// for TLS). "
        + escape
    )
    wrong = error_of(check_broker_url, settings.BROKER_URL)
    yield wrong, "txnproject.E005", "BROKER_URL does not name a broker", hint


@register_rules
def addresses() -> Iterator[Rule]:
    hint = "Set the comma-separated host names under which clients and providers call this service"
    yield not settings.ALLOWED_HOSTS, "txnproject.E006", "ALLOWED_HOSTS is not set", hint
    for name, normal, hint in LISTS:
        for entry in getattr(settings, name):
            yield error_of(normal, entry), "txnproject.E012", f"{name}: {error_of(normal, entry)}", hint
    schemes = ("http", "https") if settings.TLS == "off" else ("https",)
    message = f"PUBLIC_URL is not an address that starts with {' or '.join(schemes)}://"
    hint = "Set the address under which providers reach this service; they send their webhooks to it"
    yield not _is_url(settings.PUBLIC_URL, *schemes), "txnproject.E007", message, hint
    wrong = settings.SANDBOX_URL and not _is_url(settings.SANDBOX_URL, "http", "https")
    hint = "Set the address of the sandbox's page, to which this service's page links; leave it out without a sandbox"
    yield wrong, "txnproject.E010", "SANDBOX_URL is not an address that starts with http:// or https://", hint


@register_rules
def choices() -> Iterator[Rule]:
    yield settings.TLS not in ("on", "off"), "txnproject.E008", "TLS is neither on nor off", "Use off on loopback only"
    wrong = settings.DATABASE_POOLER not in ("on", "off")
    hint = "Set on if DATABASE_URL leads to PgBouncer or another pooler"
    yield wrong, "txnproject.E015", "DATABASE_POOLER is neither on nor off", hint
    wrong = settings.STATUS_BY_HAND_NEEDS_TWO not in ("on", "off")
    hint = "Set on to require that a second person approves each status that staff set"
    yield wrong, "txnproject.E011", "STATUS_BY_HAND_NEEDS_TWO is neither on nor off", hint
    wrong = settings.LOG_LEVEL not in logging.getLevelNamesMapping()
    hint = "Set DEBUG, INFO, WARNING, ERROR or CRITICAL"
    yield wrong, "txnproject.E009", f"LOG_LEVEL {settings.LOG_LEVEL!r} is not a level", hint


@register_row_checks
def sessions() -> Iterator[CheckMessage]:
    """Check the settings of a session, which a pooler may have dropped or refused."""
    hint = (
        "Direct connections: set DATABASE_POOLER=off. With a pooler: set DATABASE_POOLER=on, run `manage.py "
        "setroledefaults`, and let the pooler reconnect"
    )
    try:
        check_session()
    except MissingSettings as error:
        yield Error(str(error), hint=hint, id="txnproject.E016")
    except DatabaseError as error:
        if "unsupported startup parameter" in str(error):
            yield Error("The pooler refuses the start-up options of connections", hint=hint, id="txnproject.E017")


@register_rules
def environment() -> Iterator[Rule]:
    for message, hint in settings.ENVIRONMENT_FAULTS:
        yield True, "txnproject.E013", message, hint
    least, most = KEEP_ALIVE_BOUNDS
    message = f"KEEP_ALIVE is not between {least:g} and {most:g} seconds"
    hint = "Set it to more than the idle timeout of your load balancer"
    yield not least <= settings.KEEP_ALIVE <= most, "txnproject.E014", message, hint


def _is_url(url: str, *schemes: str) -> bool:
    """Return whether this is an address with a valid host and port, perhaps with a path."""
    try:
        parts = urlsplit(url)
        origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return False
    return parts.scheme in schemes and not parts.query and not parts.fragment and not set(url) & set(" \"'<>")
