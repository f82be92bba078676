"""Outages of the stores: connections to ports without a listener."""

import contextlib
import os
import socket
from collections.abc import Iterator
from unittest import mock

import dramatiq
from django.db import connection

from devstack.ports import free_port


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """Refuse every connection of this thread to the database; needs `transaction=True`: it closes the current one."""
    connection.close()
    with mock.patch.dict(connection.settings_dict, HOST="/nonexistent"):
        yield
        connection.close()


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
