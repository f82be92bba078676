"""Context managers that let another party act in the middle of a call or a database transaction."""

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
from workers.jobs import run_job
from workers.models import Job


@contextmanager
def amid(found: Job, server: Server, method: str, answer: Answer) -> Iterator[None]:
    """Run the block while a worker's call for this job is in progress.

    When the block ends, the call receives `answer` and the worker settles the job.
    """
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
    """Run `ours` without committing, start `theirs`, commit when `theirs` waits for a lock, and return its result."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            ours()
            done = pool.submit(aside, theirs)
            until(blocked)
        return done.result(30)


@contextmanager
def overtaking(theirs: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """Yield a function to call inside our transaction: it starts `theirs`, which waits for our commit.

    `theirs` has finished when the block ends.
    """
    with ThreadPoolExecutor(1) as pool:
        begun: list[Future[Any]] = []

        def begin() -> None:
            begun.append(pool.submit(aside, theirs))
            until(blocked)

        yield begin
        begun[0].result(30)


def blocked() -> bool:
    """Return True if a database session waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
