"""Errors for which this service or its host is the cause: out of open files, memory, threads or ports.

They say nothing about the other side: no try is used, no circuit breaker counts them, and the job runs again soon.
"""

import errno
import os
import random
import socket
import threading

import structlog
from cachetools import TTLCache, cached

log = structlog.get_logger(__name__)

ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
NO_THREAD = "can't start new thread"
PREFIX = "limit of this host: "
"""Start of the error in the record of such a call."""
QUIET = 10.0
"""Seconds in which each limit is logged once."""


def limit_of(error: BaseException | None) -> str:
    """Return the limit of this host that caused the error, such as EMFILE; empty if none did."""
    while error is not None:
        if isinstance(error, MemoryError):
            return "no memory"
        if isinstance(error, RuntimeError) and NO_THREAD in str(error):
            return "no threads"
        if isinstance(error, socket.gaierror):  # without open files, names cannot be resolved either
            return "EMFILE" if not _can_open() else "no memory" if error.errno == socket.EAI_MEMORY else ""
        if isinstance(error, OSError) and error.errno in ERRNOS:
            return errno.errorcode[error.errno]
        error = error.__cause__
    return ""


def pause() -> float:
    """Return the seconds until a job runs again after such an error, jittered."""
    return random.uniform(1.0, 3.0)  # noqa: S311  no secret


@cached(TTLCache(100, QUIET), lock=threading.Lock())
def report(limit: str) -> None:
    """Log that a limit of this host was reached, at most once in `QUIET` seconds."""
    message = "A limit of this host was reached; its jobs run again soon. See docs/configuration.md#open-files"
    log.error(message, action="limit_reached", limit=limit)


def _can_open() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True
