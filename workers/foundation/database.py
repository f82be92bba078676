"""Getting over a lost database connection, for work that may be repeated."""

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

Result = TypeVar("Result")

UNDONE = ("40001", "40P01")
"""SQLSTATEs of a serialization failure and of a deadlock: PostgreSQL has undone it, and asks to try again."""


def is_away(error: BaseException) -> bool:
    """Whether it is the connection that failed, and no statement's fault.

    A server that ends in the middle of a statement is a DatabaseError of no kind to psycopg2, and without a SQLSTATE.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return type(error) is DatabaseError and getattr(error.__cause__, "pgcode", "") is None


def retry_once(work: Callable[[], Result]) -> Result:
    """Run `work`; when the connection turns out to be dead, or it was the victim of a deadlock, once more.

    Connections are kept, so after a restart of PostgreSQL each thread's first statement fails: without this every
    thread would answer one 503. `work` must be idempotent: it may have run before the connection died.
    """
    before = connection.connection
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not is_away(error):
            raise
        # `atomic` replaces a dead connection as it ends; else it is still there, and dead.
        replaced = connection.connection is not before
        if getattr(error.__cause__, "pgcode", None) in UNDONE and not connection.in_atomic_block:
            return work()
        if connection.in_atomic_block or (not replaced and connection.is_usable()):
            raise
        if not replaced:
            connection.close()
        return work()
