"""Coalescing of items into batches: the items that arrive while one batch is being flushed are the next batch.

It adds no delay to an idle system; a busy one shares the cost. Used for wake-up messages, claims and settles.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

Item = TypeVar("Item")


class Coalescer(Generic[Item]):
    """Gathers items from many threads and flushes them from its own thread.

    `flush` gets 1 to `most` items in the order of their submission. Its exceptions are logged. `pause` is the minimum
    of seconds between the starts of two flushes: the first item of a burst is flushed at once, the rest in few batches.
    """

    def __init__(self, flush: Callable[[list[Item]], None], *, name: str, most: int = 500, pause: float = 0.0) -> None:
        self._flush = flush
        self._most = most
        self._pause = pause
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()  # None: the end
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Queue `item` for the next batch. Raises RuntimeError once closed."""
        if self._closed:
            raise RuntimeError(f"{self._thread.name} is closed")
        self._queue.put(item)

    def close(self, timeout: float) -> None:
        """Flush the queued items, then end the thread; wait at most `timeout` seconds for that."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        ended = False
        while not ended:
            gathered = [self._queue.get()]
            while len(gathered) < self._most and not self._queue.empty():
                gathered.append(self._queue.get())
            ended = None in gathered
            started = time.monotonic()
            if batch := [item for item in gathered if item is not None]:
                try:
                    self._flush(batch)
                except BaseException as error:
                    log.warning("A batch failed", action="flush_failed", name=self._thread.name, exc_info=error)
            if self._pause and not ended:
                time.sleep(max(0.0, started + self._pause - time.monotonic()))
