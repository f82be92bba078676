"""Getting over a lost database connection, for work that may be repeated."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

Result = TypeVar("Result")


def retry_once(work: Callable[[], Result]) -> Result:
    """Run `work`; when the connection turns out to be dead, once more on a new one.

    Connections are kept, so after a restart of PostgreSQL each thread's first statement fails: without this every
    thread would answer one 503. `work` must be one idempotent statement: it may have run before the connection died.
    """
    try:
        return work()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return work()
