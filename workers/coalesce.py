"""Coalescing of items into batches: the items that arrive while one batch is being flushed are the next batch.

An idle system has no delay from it; a busy one shares the cost. Used for wake-up messages, claims and settles.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Gathers items from many threads and flushes them from its own thread.

    `flush` gets 1 to `most` items in the order of their submission and returns one result for each. Its exceptions go
    to the submitters of that batch only. `pause` is the minimum of seconds between the starts of two flushes: the
    first item of a burst is flushed at once, the rest in few batches.
    """

    def __init__(
        self, flush: Callable[[list[Item]], Sequence[Result]], *, name: str, most: int = 500, pause: float = 0.0
    ) -> None:
        self._flush = flush
        self._most = most
        self._pause = pause
        self._waiting: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> "Future[Result]":
        """Queue `item` for the next batch. Raises RuntimeError once closed."""
        if self._closed:
            raise RuntimeError(f"{self._thread.name} is closed")
        future: Future[Result] = Future()
        self._waiting.put((item, future))
        return future

    def close(self, timeout: float) -> None:
        """Flush the queued items, then end the thread; wait at most `timeout` seconds for that."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while batch := self._gather():
            started = time.monotonic()
            futures = [future for _, future in batch]
            try:
                results = self._flush([item for item, _ in batch])
                for future, result in zip(futures, results, strict=True):
                    future.set_result(result)
            except BaseException as error:
                # Not every submitter waits for its result, so the error is logged here.
                log.warning("A batch failed", action="flush_failed", name=self._thread.name, exc_info=error)
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
            if self._pause:
                time.sleep(max(0.0, started + self._pause - time.monotonic()))

    def _gather(self) -> list[tuple[Item, "Future[Result]"]]:
        """Wait for an item and return it with all others queued; return an empty list once closed and drained."""
        batch: list[tuple[Item, Future[Result]]] = []
        while len(batch) < self._most:
            try:
                entry = self._waiting.get(block=not batch)
            except queue.Empty:
                break
            if entry is None:
                if batch:
                    self._waiting.put(None)  # flush these first; the next call finds the end again
                break
            batch.append(entry)
        return batch
