"""Concurrent database connections, for tests with `transaction=True`."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from tests.servers import until


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run each function on its own thread and connection, all at the same time; return their results or exceptions."""
    gate = threading.Barrier(len(works))

    def go(work: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            gate.wait(10)
            return work()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(go, works))


def aside(work: Callable[[], Any]) -> Any:
    """Run a function on another thread and connection; return its result."""
    [result] = at_once(work)
    if isinstance(result, Exception):
        raise result
    return result


def errors(results: Sequence[Any]) -> list[Exception]:
    return [result for result in results if isinstance(result, Exception)]


def other_sessions() -> list[int]:
    """Return the process ids of all other connections to this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return [pid for (pid,) in cursor.fetchall()]


def end_sessions() -> int:
    """End all other connections on the server's side, as its restart does; return their number."""
    sessions = other_sessions()
    with connection.cursor() as cursor:
        for pid in sessions:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    return len(sessions)


def await_sessions_end() -> None:
    """Wait until the connections of threads that have ended are closed: they are in reference cycles."""
    gc.collect()
    until(lambda: not other_sessions())
