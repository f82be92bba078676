"""Reads by SQL, and one retry on a lost database connection."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

Result = TypeVar("Result")

UNDONE = ("40001", "40P01")
"""SQLSTATEs of a serialization failure and of a deadlock: PostgreSQL has rolled back and asks to try again."""


def rows(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def is_away(error: BaseException) -> bool:
    """Return True if the connection failed, not the statement.

    When the server ends in the middle of a statement, psycopg2 raises a plain DatabaseError without a SQLSTATE.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return type(error) is DatabaseError and getattr(error.__cause__, "pgcode", "") is None


def retry_once(work: Callable[[], Result]) -> Result:
    """Run `work`; run it once more if the connection turns out to be dead or the work was the victim of a deadlock.

    Connections are kept, so each thread's first statement after a restart of PostgreSQL fails: without the retry every
    thread would answer one 503. `work` must be idempotent: it may have run before the connection died.
    """
    before = connection.connection
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not is_away(error):
            raise
        # `atomic` replaces a dead connection when it ends; otherwise the dead one is still in place.
        replaced = connection.connection is not before
        if getattr(error.__cause__, "pgcode", None) in UNDONE and not connection.in_atomic_block:
            return work()
        if connection.in_atomic_block or (not replaced and connection.is_usable()):
            raise
        if not replaced:
            connection.close()
        return work()
