"""Coalescing: the items that arrive while one batch is flushed are the next batch."""

import threading
import time

import pytest

from tests.servers import until
from workers.coalesce import Coalescer

pytestmark = pytest.mark.slow


class Flush:
    """A flush that a test can block; it keeps its batches."""

    def __init__(self):
        self.batches = []
        self.begun, self.open = threading.Semaphore(0), threading.Event()
        self.open.set()

    def __call__(self, items):
        self.batches.append(list(items))
        self.begun.release()
        assert self.open.wait(10)
        if "bad" in items:
            raise LookupError("bad")

    @property
    def items(self):
        return [item for batch in self.batches for item in batch]


@pytest.fixture
def flush():
    return Flush()


@pytest.fixture
def coalescers(flush):
    made = []

    def make(**how):
        made.append(Coalescer(flush, name="test", **how))
        return made[-1]

    yield make
    flush.open.set()
    for coalescer in made:
        coalescer.close(timeout=5)


@pytest.fixture
def coalescer(coalescers):
    return coalescers()


@pytest.fixture
def held(coalescer, flush):
    """A coalescer in the middle of the flush of one item."""
    flush.open.clear()
    coalescer.submit(0)
    assert flush.begun.acquire(timeout=5)
    return coalescer


def test_a_single_item_is_flushed_at_once(coalescer, flush):
    coalescer.submit(7)

    until(lambda: flush.batches == [[7]])


def test_items_that_arrive_during_a_flush_are_the_next_batch_in_their_order(held, flush):
    for number in range(1, 6):
        held.submit(number)
    flush.open.set()

    until(lambda: flush.batches == [[0], [1, 2, 3, 4, 5]])


def test_a_batch_has_a_maximum_of_items(coalescers, flush):
    coalescer = coalescers(most=2)
    flush.open.clear()
    coalescer.submit(0)
    assert flush.begun.acquire(timeout=5)
    for number in range(1, 6):
        coalescer.submit(number)
    flush.open.set()

    until(lambda: flush.batches == [[0], [1, 2], [3, 4], [5]])


def test_an_error_affects_no_other_batch(held, flush, caplog):
    held.submit("bad")
    flush.open.set()
    until(lambda: "bad" in flush.items)

    held.submit(2)

    until(lambda: flush.batches == [[0], ["bad"], [2]])
    assert "A batch failed" in caplog.text


def test_closing_flushes_the_queued_items(held, flush):
    for number in range(1, 4):
        held.submit(number)
    closing = threading.Thread(target=held.close, args=(5,))
    closing.start()
    flush.open.set()
    closing.join(5)

    assert flush.items == [0, 1, 2, 3]
    assert not held._thread.is_alive()


def test_a_closed_one_accepts_no_item(coalescer):
    coalescer.close(timeout=5)

    with pytest.raises(RuntimeError, match="test is closed"):
        coalescer.submit(1)


def test_closing_does_not_wait_for_ever(held):
    started = time.monotonic()
    held.close(timeout=0.05)

    assert time.monotonic() - started < 2


def test_items_from_many_threads_are_flushed_once_each(coalescer, flush):
    def submit(start):
        for number in range(start, start + 200):
            coalescer.submit(number)

    threads = [threading.Thread(target=submit, args=(start,)) for start in range(0, 1600, 200)]
    for thread in threads:
        thread.start()

    until(lambda: sorted(flush.items) == list(range(1600)))


def test_a_pause_gathers_the_rest_of_a_burst_in_few_batches(coalescers, flush):
    coalescer = coalescers(pause=0.3)
    coalescer.submit(0)
    until(lambda: flush.batches)
    for number in range(1, 101):
        coalescer.submit(number)
    until(lambda: len(flush.items) == 101)

    assert len(flush.batches) == 2


def test_the_first_item_does_not_wait_for_the_pause(coalescers, flush):
    coalescer = coalescers(pause=2.0)
    started = time.monotonic()
    coalescer.submit(1)
    until(lambda: flush.batches)

    assert time.monotonic() - started < 1
