"""Coalescing: what piles up while one batch is flushed is the next batch."""

import threading
import time

import pytest

from workers.coalesce import Coalescer

pytestmark = pytest.mark.slow


class Flush:
    """A flush that a test can hold up; it answers with tenfold and remembers its batches."""

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
        return [item * 10 for item in items]


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


def test_an_item_alone_goes_at_once_and_gets_its_result(coalescer, flush):
    assert coalescer.submit(7).result(5) == 70
    assert flush.batches == [[7]]


def test_what_piles_up_is_the_next_batch_in_its_order(held, flush):
    futures = [held.submit(number) for number in range(1, 6)]
    flush.open.set()

    assert [future.result(5) for future in futures] == [10, 20, 30, 40, 50]
    assert flush.batches == [[0], [1, 2, 3, 4, 5]]


def test_a_batch_has_at_most_so_many_items(coalescers, flush):
    coalescer = coalescers(most=2)
    flush.open.clear()
    futures = [coalescer.submit(0)]
    assert flush.begun.acquire(timeout=5)
    futures += [coalescer.submit(number) for number in range(1, 6)]
    flush.open.set()

    assert [future.result(5) for future in futures] == [0, 10, 20, 30, 40, 50]
    assert flush.batches == [[0], [1, 2], [3, 4], [5]]


def test_an_error_reaches_the_submitters_of_its_batch_only(held, flush):
    bad = [held.submit("bad"), held.submit(1)]
    flush.open.set()
    for future in bad:
        with pytest.raises(LookupError):
            future.result(5)

    assert held.submit(2).result(5) == 20


def test_a_flush_that_returns_too_little_is_an_error_for_its_batch(coalescers):
    coalescer: Coalescer[int, int] = Coalescer(lambda items: [], name="short")

    with pytest.raises(ValueError, match="zip"):
        coalescer.submit(1).result(5)
    coalescer.close(timeout=5)


def test_closing_flushes_what_is_queued(held, flush):
    futures = [held.submit(number) for number in range(1, 4)]
    closing = threading.Thread(target=held.close, args=(5,))
    closing.start()
    flush.open.set()
    closing.join(5)

    assert [future.result(0) for future in futures] == [10, 20, 30]
    assert not held._thread.is_alive()


def test_nothing_is_taken_once_closed(coalescer):
    coalescer.close(timeout=5)

    with pytest.raises(RuntimeError, match="test is closed"):
        coalescer.submit(1)


def test_closing_does_not_wait_for_ever(held):
    started = time.monotonic()
    held.close(timeout=0.05)

    assert time.monotonic() - started < 2


def test_items_from_many_threads_all_get_their_own_result(coalescer):
    results = {}

    def submit(start):
        for number in range(start, start + 200):
            results[number] = coalescer.submit(number)

    threads = [threading.Thread(target=submit, args=(start,)) for start in range(0, 1600, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(results[number].result(5) == number * 10 for number in range(1600))


def test_a_pause_gathers_the_rest_of_a_burst_in_few_batches(coalescers, flush):
    coalescer = coalescers(pause=0.3)
    coalescer.submit(1).result(5)
    futures = [coalescer.submit(number) for number in range(100)]
    for future in futures:
        future.result(5)

    assert len(flush.batches) == 2


def test_the_first_item_does_not_wait_for_the_pause(coalescers):
    coalescer = coalescers(pause=2.0)
    started = time.monotonic()
    coalescer.submit(1).result(5)

    assert time.monotonic() - started < 1
