"""Coalescing: what piles up while one batch is being flushed is the next batch.

An idle system pays no delay for it, a busy one amortises. It serves the sending of wake-ups, claiming and settling.
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
    """Gathers items from many threads and flushes them from one thread of its own.

    `flush` gets 1 to `most` items in the order of their submission and returns one result for each; what it raises
    reaches the submitters of that batch, and the next batch starts afresh. `pause` is the least time in seconds
    between the starts of two flushes: the first item of a burst goes at once, the rest of it in few batches.
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
        """Flush what is queued, then end; waits at most `timeout` seconds."""
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
                # Not every submitter waits for its answer, so this is the one place that surely sees the error.
                log.warning("A batch failed", action="flush_failed", name=self._thread.name, exc_info=error)
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
            if self._pause:
                time.sleep(max(0.0, started + self._pause - time.monotonic()))

    def _gather(self) -> list[tuple[Item, "Future[Result]"]]:
        """Wait for an item and take all that came with it; an empty list once closed and drained."""
        batch: list[tuple[Item, Future[Result]]] = []
        while len(batch) < self._most:
            try:
                entry = self._waiting.get(block=not batch)
            except queue.Empty:
                break
            if entry is None:
                if batch:
                    self._waiting.put(None)  # flush these first, then meet the end again
                break
            batch.append(entry)
        return batch
