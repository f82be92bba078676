"""Getting over a lost database connection, for work that may be repeated."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

Result = TypeVar("Result")


def retry_once(work: Callable[[], Result]) -> Result:
    """Run `work`; when the connection turns out to be dead, once more on a new one.

    Connections are kept, so after a restart of PostgreSQL each thread's first statement fails: without this every
    thread would answer one 503. `work` must be idempotent: it may have run before the connection died.
    """
    before = connection.connection
    try:
        return work()
    except (OperationalError, InterfaceError):
        # `atomic` replaces a dead connection as it ends; else it is still there, and dead.
        replaced = connection.connection is not before
        if connection.in_atomic_block or (not replaced and connection.is_usable()):
            raise
        if not replaced:
            connection.close()
        return work()
