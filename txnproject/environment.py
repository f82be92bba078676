"""Environment variables as people and tools write them: with spaces or quotes around a value, or ends of lines."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import parse_dsn

KEEP_ALIVE = 75.0
"""Default of KEEP_ALIVE in seconds: longer than the idle timeouts of common load balancers, 60 s."""
KEEP_ALIVE_BOUNDS = (1.0, 3600.0)
QUOTES = "'\""
PARTS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
"""Parameters of libpq that Django's settings of a database name; the others are its `OPTIONS`."""

Number = TypeVar("Number", int, float)


class Environment:
    """Reader of variables. It raises no errors: it collects `faults`, pairs of a message and a hint, for a check."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[tuple[str, str]] = []

    def text(self, name: str, default: str = "") -> str:
        """Return a value without spaces and quotes around it; `$` and `\\` have no meaning."""
        value = bare(self._variables.get(name, default))
        if value.isprintable():
            return value
        self.faults.append((f"{name} contains control characters, or bytes that are not UTF-8", "Write it anew"))
        return default

    def entries(self, name: str, normal: Callable[[str], str] = str) -> list[str]:
        """Return the entries of a comma-separated list in their normal form; those that have none are unchanged."""

        def read(entry: str) -> str:
            try:
                return normal(entry)
            except ValueError:
                return entry  # a system check reports it

        return [read(entry) for entry in map(bare, self.text(name).split(",")) if entry]

    def number(self, name: str, default: Number) -> Number:
        """Return a finite number of the default's type."""
        text = self.text(name)
        try:
            value = type(default)(text) if text else default
            if math.isfinite(value):
                return value
        except ValueError:
            pass
        kind = "whole number" if isinstance(default, int) else "number"
        self.faults.append((f"{name} is {text!r}, not a {kind}", f"Set a {kind}, or leave it out for {default:g}"))
        return default


def bare(text: str) -> str:
    """Return a text without spaces around it, and without a pair of quotes around it.

    Shells and systemd remove such quotes; `docker --env-file` keeps them, and Windows adds a carriage return.
    """
    text = text.strip()
    quoted = len(text) > 1 and text[0] in QUOTES and text[-1] == text[0] and text[0] not in text[1:-1]
    return text[1:-1].strip() if quoted else text


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a postgresql:// URL, as libpq reads it. Raises ValueError, without secrets."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("The URL has another scheme")
    try:
        given = parse_dsn(url)
    except (psycopg2.Error, UnicodeError):
        raise ValueError("libpq cannot read the URL") from None
    ports = given.get("port", "").split(",")
    if not all(not port or (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536) for port in ports):
        raise ValueError("A port is not a number from 1 to 65535")
    # An unescaped / in the password ends the host: the text that follows would be the name of the database.
    if not given.get("dbname") or set(given["dbname"]) & set("@/'\"") or set(given.get("host", "")) & set("'\" "):
        raise ValueError("The name of the database is missing, or a part has special characters")
    options = {name: value for name, value in given.items() if name not in PARTS}
    named = {setting: given.get(name, "") for name, setting in PARTS.items()}
    return {"ENGINE": "django.db.backends.postgresql", **named, "OPTIONS": options}
