"""Periodic tasks: background work of worker processes besides jobs."""

import threading

import pytest
from django.db import OperationalError, connection

from tests.servers import until
from tests.threads import await_sessions_end, end_sessions
from workers import periodic as module
from workers.periodic import PeriodicTasks


class Steps(list[str]):
    """The steps that ran, in order."""

    def of(self, name, more=False):
        """A periodic task of this name that has more to do, or not."""

        def step():
            self.append(name)
            return more

        return step


@pytest.fixture
def done():
    return Steps()


@pytest.mark.parametrize(("more", "again"), [((False, False), False), ((True, False), True), ((False, True), True)])
def test_a_round_runs_a_step_of_each_task_and_tells_if_there_is_more(done, more, again):
    assert PeriodicTasks({"a": done.of("a", more[0]), "b": done.of("b", more[1])}).round() is again
    assert done == ["a", "b"]


@pytest.mark.parametrize("error", [OperationalError, LookupError])
def test_a_failing_task_delays_no_other_and_waits(done, error):
    def broken():
        raise error("broken")

    assert PeriodicTasks({"broken": broken, "sweep": done.of("sweep")}).round() is False
    assert done == ["sweep"]


# --- as a thread


@pytest.fixture
def running():
    """Run periodic tasks on their own thread; stop it at the end of the test."""
    made = []

    def run(**tasks):
        made.append(PeriodicTasks(tasks))
        made[-1].start()
        return made[-1]

    yield run
    for tasks in made:
        tasks.stop()
        assert not tasks._thread.is_alive()


def test_a_task_with_more_to_do_goes_on_at_once(running, done, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 60)

    running(count=done.of("count", more=True))

    until(lambda: len(done) > 100)


def test_a_task_without_more_to_do_runs_again_after_the_interval(running, done, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    running(count=done.of("count"))

    until(lambda: len(done) > 2)


def test_stopping_waits_for_the_current_step_and_begins_no_other(running, done):
    began, go_on = threading.Event(), threading.Event()

    def slow():
        began.set()
        go_on.wait(10)
        done.append("slow")
        return True

    tasks = running(slow=slow, next=done.of("next"))
    assert began.wait(5)
    threading.Timer(0.05, go_on.set).start()
    tasks.stop()

    assert done == ["slow"]


@pytest.mark.django_db(transaction=True)
def test_it_survives_the_end_of_its_connection(running, done, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    def look():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        done.append("look")
        return False

    tasks = running(look=look)
    until(lambda: done)
    assert end_sessions() == 1
    seen = len(done)
    until(lambda: len(done) > seen + 3)
    tasks.stop()
    await_sessions_end()
