"""Letting the other side win in the middle."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from django.db import connection, transaction

from tests.servers import Answer, Server, until
from tests.threads import aside
from workers.models import Job
from workers.standalone import run_job


@contextmanager
def amid(found: Job, server: Server, method: str, answer: Answer) -> Iterator[None]:
    """While a worker's call for this job is under way: it gets `answer` when the block ends, and settles."""
    held, before = threading.Event(), len(server.of(method))
    server.on(method, replace(answer, held=held), answer)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(aside, partial(run_job, found.pk))
        try:
            until(lambda: len(server.of(method)) > before)
            yield
        finally:
            held.set()
        running.result(30)


def second(theirs: Callable[[], Any], *, ours: Callable[[], Any]) -> Any:
    """`ours` is done but not committed when `theirs` begins, and committed once that waits for it: what that gave."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ours()
            done = pool.submit(aside, theirs)
            until(blocked)
        return done.result(30)


@contextmanager
def overtaking(theirs: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """To be called amidst our transaction: `theirs` begins there, waits for us, and has ended with the block."""
    with ThreadPoolExecutor(1) as pool:
        begun: list[Future[Any]] = []

        def begin() -> None:
            begun.append(pool.submit(aside, theirs))
            until(blocked)

        yield begin
        begun[0].result(30)


def blocked() -> bool:
    """Whether anybody waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
