"""Outages of the stores: connections to ports without a listener, and sessions that are of no further use."""

import contextlib
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock

import dramatiq
from django.db import DataError, connection

from devstack.ports import free_port
from tests.servers import until


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """Refuse every connection of this thread to the database; needs `transaction=True`: it closes the current one."""
    connection.close()
    with mock.patch.dict(connection.settings_dict, HOST="/nonexistent"):
        yield
        connection.close()


@contextlib.contextmanager
def database_read_only() -> Iterator[None]:
    """Make all sessions and new ones read-only, as managed servers do while their disk is full."""
    with _read_only_by_default():
        yield


@contextlib.contextmanager
def failed_over() -> Iterator[None]:
    """Make all sessions read-only, but no new ones, as a failover does when a proxy keeps the connections."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {_name()} SET default_transaction_read_only = off")
    with _read_only_by_default():
        yield
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {_name()} RESET default_transaction_read_only")


@contextlib.contextmanager
def _read_only_by_default() -> Iterator[None]:
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        try:
            for statement in ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"):
                cursor.execute(statement)
            until(lambda: _shown("default_transaction_read_only") == "on")
            yield
        finally:
            for statement in ("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"):
                cursor.execute(statement)
            connection.close()  # some tests end with a session that is of no further use
            until(lambda: _shown("default_transaction_read_only") == "off")


def _shown(setting: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        return str(cursor.fetchone()[0])


def _name() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_database())")
        return str(cursor.fetchone()[0])


@contextlib.contextmanager
def broker_away() -> Iterator[None]:
    """Refuse every connection to the broker."""
    pool = dramatiq.get_broker().client.connection_pool  # type: ignore[attr-defined]  # the tests' broker is Redis
    with mock.patch.dict(pool.connection_kwargs, port=free_port()):
        pool.disconnect()
        pool.reset()
        yield
    pool.reset()


def cut_connection() -> None:
    """End this thread's connection on the server's side, as a restart of PostgreSQL does."""
    connection.ensure_connection()
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
        assert cursor.fetchone() == (True,)


def crash_connection() -> None:
    """End this thread's connection as a crash of PostgreSQL does: after a warning on the wire."""
    connection.ensure_connection()
    warning = b"SWARNING\0VWARNING\0C57P02\0Mterminating connection because of crash of another server process\0\0"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), connection.connection.fileno())
        theirs.sendall(b"N" + (len(warning) + 4).to_bytes(4, "big") + warning)


def make_read_only() -> None:
    """Make this thread's session read-only, as a failover does when a proxy keeps the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")


def leave_aborted() -> None:
    """Leave this thread's session in an aborted transaction that Django does not know of."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with contextlib.suppress(DataError):
            cursor.execute("SELECT 1 / 0")


SPOILED = [make_read_only, leave_aborted, cut_connection, crash_connection]
"""Functions that make this thread's session useless; a new one works."""


def from_server(kind: type[Exception], state: str, severity: str = "ERROR") -> Exception:
    """Return an error with this SQLSTATE, as Django raises it."""
    diagnostics = SimpleNamespace(severity_nonlocalized=severity)
    error = kind("text of the server")
    error.__cause__ = type("Cause", (Exception,), {"pgcode": state, "diag": diagnostics})()
    return error
