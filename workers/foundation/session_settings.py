"""Settings that every session of PostgreSQL needs: without its timeouts, a thread or a lock may be lost for ever.

They are start-up options of each connection. A pooler such as PgBouncer refuses or drops these, so behind one they are
defaults of the role (`manage.py setroledefaults`), and every new connection is checked.
"""

from typing import Any

import psycopg2
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper


class MissingSettings(OperationalError):
    """The session of PostgreSQL lacks settings. Handled like a lost connection: no statement runs on it."""


def check_session(connection: BaseDatabaseWrapper = connection) -> None:
    """Raise MissingSettings if the session of a connection has other values than SESSION_SETTINGS."""
    shown = ", ".join(f"current_setting('{name}')" for name in settings.SESSION_SETTINGS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {shown}")
        found = cursor.fetchone()
    wrong = [
        f"{name} is {value}, not {wanted}"
        for value, (name, wanted) in zip(found, settings.SESSION_SETTINGS.items(), strict=True)
        if value != wanted
    ]
    if wrong:
        message = f"PostgreSQL's session settings are missing: {'; '.join(wrong)}. See manage.py setroledefaults"
        raise MissingSettings(message) from psycopg2.OperationalError(message)  # no SQLSTATE: a lost connection


def check_new_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Close a new connection to the service's database whose session lacks settings. Raises MissingSettings."""
    if connection.alias != DEFAULT_DB_ALIAS:
        return
    try:
        check_session(connection)
    except BaseException:
        connection.close()
        raise


def set_role_defaults(role: str = "") -> None:
    """Make the settings defaults of a role, by default the current one, in this database; for new sessions."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_database()), quote_ident(%s)", [role])
        database, quoted = cursor.fetchone()
        who = quoted if role else "CURRENT_USER"
        for name, value in settings.SESSION_SETTINGS.items():
            cursor.execute(f"ALTER ROLE {who} IN DATABASE {database} SET {name} = %s", [value])
