"""Announcements: few messages, none of them required for a job to run."""

import threading
from dataclasses import replace
from typing import Any, cast

import dramatiq
import pytest

from tests.servers import until
from tests.transactions.api.outages import broker_away
from txnproject.jobs import JOBS
from workers.announce import Announcer, announce
from workers.lanes import Lane
from workers.outcomes import Wake


class Mouth:
    """Replacement for an actor: it keeps the messages, and a test can block it."""

    def __init__(self):
        self.said = []
        self.begun, self.open = threading.Semaphore(0), threading.Event()
        self.open.set()
        self.broken = False

    def send(self, lanes):
        self.said.append(dict(lanes))
        self.begun.release()
        assert self.open.wait(10)
        if self.broken:
            raise ConnectionError("away")


@pytest.fixture
def mouths(monkeypatch):
    """The replacements of the actors, by kind."""
    mouths = {name: Mouth() for name in JOBS.kinds}
    for name, mouth in mouths.items():
        monkeypatch.setitem(JOBS.kinds, name, replace(JOBS.kinds[name], actor=cast(Any, mouth)))
    return mouths


END = Wake("notify", Lane("end"))


class Watched(Announcer):
    """An announcer that keeps the wakes it has processed."""

    def __init__(self):
        self.marks, self.processed = 0, []
        super().__init__()

    def _send(self, wakes):
        super()._send(wakes)
        self.processed += wakes

    def finish(self):
        """Wait until all wakes announced so far are processed."""
        self.marks += 1
        self._coalescer.submit(END)
        until(lambda: self.processed.count(END) == self.marks)


@pytest.fixture
def announcer(mouths):
    announcer = Watched()
    yield announcer
    for mouth in mouths.values():
        mouth.open.set()
    announcer._coalescer.close(timeout=5)


def say(announcer, *wakes):
    """Announce, and wait until it was sent."""
    announcer.announce(wakes)
    announcer.finish()


def said(mouths, kind):
    return [{lane: after for lane, after in lanes.items() if lane != "end"} for lanes in mouths[kind].said]


def test_a_message_names_the_lane_and_the_delay(announcer, mouths):
    say(announcer, Wake("create", Lane("p1")))

    assert said(mouths, "create") == [{Lane("p1"): 0.0}]


@pytest.fixture
def held(announcer, mouths):
    """An announcer in the middle of sending."""
    mouths["track"].open.clear()
    announcer.announce([Wake("track", Lane("p9"))])
    assert mouths["track"].begun.acquire(timeout=5)
    return announcer


def test_queued_wakes_become_one_message_for_each_kind(held, mouths):
    wakes = [Wake(kind, lane) for lane in (Lane("p1"), Lane("p2"), Lane("p1")) for kind in ("create", "notify")]
    held.announce(wakes)
    mouths["track"].open.set()
    say(held)

    assert said(mouths, "create") == [{Lane("p1"): 0, Lane("p2"): 0}]
    assert said(mouths, "notify")[0] == {Lane("p1"): 0, Lane("p2"): 0}


def test_the_earliest_of_several_delays_of_a_lane_is_sent(held, mouths):
    held.announce([Wake("create", Lane("p1"), 0.5), Wake("create", Lane("p1"), 0.2), Wake("create", Lane("p1"), 0.9)])
    mouths["track"].open.set()
    say(held)

    assert min(message[Lane("p1")] for message in said(mouths, "create")) == 0.2


def test_no_delay_takes_precedence_over_a_delay(held, mouths):
    held.announce([Wake("create", Lane("p1"), 0.5), Wake("create", Lane("p1"))])
    mouths["track"].open.set()
    say(held)

    assert said(mouths, "create") == [{Lane("p1"): 0}]


def test_a_promised_wake_is_not_repeated(announcer, mouths):
    say(announcer, Wake("track", Lane("p1"), 5.0))
    say(announcer, Wake("track", Lane("p1"), 5.0))

    assert said(mouths, "track") == [{Lane("p1"): 5.0}]


def test_an_earlier_wake_is_sent_despite_a_promise_for_later(announcer, mouths):
    say(announcer, Wake("track", Lane("p1"), 60.0))
    say(announcer, Wake("track", Lane("p1"), 0.2))

    assert said(mouths, "track") == [{Lane("p1"): 60.0}, {Lane("p1"): 0.2}]


def test_a_wake_without_delay_is_always_sent(announcer, mouths):
    say(announcer, Wake("track", Lane("p1"), 5.0))
    say(announcer, Wake("track", Lane("p1")))
    say(announcer, Wake("track", Lane("p1")))

    assert said(mouths, "track") == [{Lane("p1"): 5.0}, {Lane("p1"): 0}, {Lane("p1"): 0}]


def test_a_promise_ends_at_its_time(announcer, mouths):
    say(announcer, Wake("track", Lane("p1"), 0.02))
    until(lambda: say(announcer, Wake("track", Lane("p1"), 0.02)) or len(said(mouths, "track")) == 2, 2)


def test_promises_are_of_a_kind_and_lane(announcer, mouths):
    say(announcer, Wake("track", Lane("p1"), 5.0), Wake("track", Lane("p2"), 5.0), Wake("create", Lane("p1"), 5.0))

    assert {lane for lanes in said(mouths, "track") for lane in lanes} == {Lane("p1"), Lane("p2")}
    assert said(mouths, "create") == [{Lane("p1"): 5.0}]


def test_an_unreachable_broker_raises_no_error_and_leaves_no_promise(announcer, mouths):
    mouths["track"].broken = True
    say(announcer, Wake("track", Lane("p1"), 5.0))
    mouths["track"].broken = False
    announcer._paused_until = 0  # the pause has ended
    say(announcer, Wake("track", Lane("p1"), 5.0))

    assert said(mouths, "track") == [{Lane("p1"): 5.0}] * 2


@pytest.mark.parametrize("wakes", [2, 10, 20])
def test_after_a_failed_message_it_sends_none_for_a_growing_time(announcer, mouths, wakes):
    mouths["create"].broken = True
    pauses = []
    for number in range(wakes):
        announcer._paused_until = 0
        say(announcer, Wake("create", Lane(f"p{number}")))
        pauses.append(announcer._paused_until)
        say(announcer, Wake("create", Lane(f"q{number}")))

    assert [lane for lanes in said(mouths, "create") for lane in lanes] == [f"p{number}" for number in range(wakes)]
    assert pauses == sorted(pauses)


def test_it_never_waits_for_the_broker(held):
    held.announce(Wake("create", Lane(f"p{number}")) for number in range(1000))


def test_the_queue_stays_bounded_while_the_broker_is_away(held):
    for _ in range(1000):
        held.announce([Wake("create", Lane("p1"))])

    assert held._coalescer._queue.qsize() == 1


def test_the_broker_gets_a_message_that_its_workers_understand():
    broker: Any = dramatiq.get_broker()
    broker.flush("notify")
    announce([Wake("notify", Lane("c4711"), 0.5)])

    def arrived():
        messages = broker.client.hgetall("dramatiq:notify.msgs").values()
        return [message for message in messages if b"c4711" in message]

    until(arrived)
    assert dramatiq.Message.decode(arrived()[0]).args == ({Lane("c4711"): 0.5},)


def test_an_announcement_without_a_broker_is_dropped():
    with broker_away():
        announcer = Watched()
        announcer.announce([Wake("create", Lane("p1"))])
        announcer.finish()
        announcer._coalescer.close(timeout=10)
