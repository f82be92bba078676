"""Reads by SQL, and one retry on a new connection after a lost or read-only one."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

Result = TypeVar("Result")

UNDONE = ("40001", "40P01")
"""SQLSTATEs of a serialization failure and of a deadlock: PostgreSQL has rolled back and asks to try again."""
READ_ONLY = "25006"
"""SQLSTATE of a write on a standby, or while `default_transaction_read_only` is on."""
FULL = "53100"
"""SQLSTATE of a write for which the disk has no room."""
_SESSION_STATES = ("08", "25", "57P")
"""Beginnings of SQLSTATEs that concern the session: its connection, the state of its transaction (read-only, aborted,
timed out), and a server that ends or does not accept it. The same statement may succeed in another session."""
_NO_WRITES = ("session is read-only", "server is in hot standby mode")
"""Parts of libpq's messages when no server of DATABASE_URL has the required `target_session_attrs`."""


def rows(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def is_away(error: BaseException) -> bool:
    """Return True if the database could not execute the statement now, so that a later repetition may succeed."""
    return isinstance(error, OperationalError | InterfaceError) or is_lost(error)


def is_lost(error: BaseException) -> bool:
    """Return True if the session is of no further use: its connection failed, or it cannot write."""
    state = _sqlstate(error)
    if state is None:
        # When the server ends in the middle of a statement, psycopg2 raises a plain DatabaseError without a SQLSTATE.
        return type(error) in (DatabaseError, InterfaceError, OperationalError)
    severity = getattr(getattr(error.__cause__, "diag", None), "severity_nonlocalized", "")
    return state.startswith(_SESSION_STATES) or severity in ("FATAL", "PANIC")


def is_read_only(error: BaseException) -> bool:
    """Return True if the session, or each server of DATABASE_URL, is read-only."""
    return _sqlstate(error) == READ_ONLY or (is_lost(error) and any(text in str(error) for text in _NO_WRITES))


def is_full(error: BaseException) -> bool:
    """Return True if the disk of the database is full."""
    return _sqlstate(error) == FULL


def drop_lost(error: BaseException) -> None:
    """Close this thread's connection if the error says that it is of no further use; the next statement opens one.

    Inside of a database transaction it stays open, because the end of `atomic` needs it.
    """
    if is_lost(error) and not connection.in_atomic_block:
        connection.close()


def retry_once(work: Callable[[], Result]) -> Result:
    """Run `work`; run it once more if the connection was lost or read-only, or the work was the victim of a deadlock.

    Connections are kept, so each thread's first statement after a restart of PostgreSQL or a failover fails: without
    the retry every thread would answer one 503. `work` must be idempotent: it may have run before the connection died.
    """
    before = connection.connection
    try:
        return work()
    except (DatabaseError, InterfaceError) as error:
        if not is_away(error) or connection.in_atomic_block:
            raise
        state = _sqlstate(error)
        if state == READ_ONLY and before is None:
            raise  # the session is new: another one would be read-only as well, and cost a connection
        # `atomic` replaces a dead connection when it ends; otherwise the dead one is still in place.
        unchanged = connection.connection is before
        if state not in UNDONE and not is_lost(error) and unchanged and connection.is_usable():
            raise
        if is_lost(error) or (unchanged and state not in UNDONE):
            connection.close()
        return work()


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE; None if psycopg2 raised the error without one, "" if the error is not from psycopg2."""
    state: str | None = getattr(error.__cause__, "pgcode", "")
    return state
