"""A loss of commits is noticed by the high-water mark of a worker."""

from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db.models.functions import Now
from redis import ConnectionError, Redis, ResponseError, TimeoutError

from tests.cast import accepted, job, now
from tests.running import again, change, claim, lose, perform, run, tell, tries
from tests.servers import Answer
from transactions import rewinds
from transactions.models import Event, LostCommits
from transactions.rewinds import HighWater
from workers.outcomes import Again

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker() -> HighWater:
    return HighWater()


@pytest.fixture(autouse=True)
def kept(monkeypatch) -> Iterator[Redis]:
    """Keep marks in Redis under a key of these tests."""
    monkeypatch.setattr(rewinds, "_key", lambda: "test-high-water")
    redis = rewinds._redis()
    assert redis is not None
    yield redis
    redis.delete("test-high-water")


def undo_last_event(record) -> None:
    Event.objects.filter(transaction=record.id).latest("id").delete()


@pytest.mark.parametrize("undo", [lose, undo_last_event])
def test_a_loss_is_noticed_once(worker, record, undo):
    worker.step()
    undo(record)

    assert worker.check() is not None
    worker.check()
    assert LostCommits.objects.count() == 1


def test_a_loss_is_noticed_although_numbers_repeat(worker, alice, third, record):
    worker.step()
    number = Event.objects.get().pk
    lose(record)
    second = accepted(alice, third, client_ref=record.client_ref)
    Event.objects.update(id=number, at=Now() + timedelta(milliseconds=1))
    assert second.id == record.id

    assert worker.check() is not None


def test_new_rows_are_no_loss(worker, alice, third):
    assert worker.check() is None  # an empty database
    for _ in range(3):
        tell(accepted(alice, third), "completed")
        assert worker.check() is None


def test_a_worker_that_starts_afterwards_notices_it(worker, record):
    worker.step()
    lose(record)
    HighWater().step()

    assert LostCommits.objects.count() == 1


@pytest.mark.parametrize("mark", ["", "[]", '{"event": 1}', "no JSON"])
def test_a_worker_starts_without_a_readable_mark(kept, record, mark):
    kept.set("test-high-water", mark)
    HighWater().step()

    assert LostCommits.objects.count() == 0


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError, ResponseError])
def test_a_worker_starts_without_redis(monkeypatch, record, error):
    with monkeypatch.context() as away:
        away.setattr(Redis, "execute_command", Mock(side_effect=error))
        HighWater().step()

    assert LostCommits.objects.count() == 0


# --- creates afterwards


@pytest.fixture
def lost(db) -> None:
    LostCommits.objects.create(mark={})


@pytest.mark.usefixtures("lost")
def test_no_create_is_sent_until_an_earlier_one_would_have_taken_effect(record, creating):
    assert run(creating).state == "waiting"
    assert tries(creating) == [("GET", 404)]
    noticed_at = LostCommits.objects.get().noticed_at
    assert now(record).create_began_at == noticed_at + timedelta(seconds=rewinds.NOTICED_WITHIN)
    assert (again(creating).run_at - now(record).created_at).total_seconds() == pytest.approx(120, abs=5)


@pytest.mark.usefixtures("lost")
def test_the_create_is_sent_after_the_settle_window(third, creating, far):
    change(third, settle_window=0.001)
    LostCommits.objects.update(noticed_at=Now() - timedelta(seconds=3))
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert tries(creating) == [("GET", 404), ("POST", 201)]


def test_a_run_from_before_the_loss_begins_no_create(monkeypatch, creating, far):
    monkeypatch.setattr(HighWater, "check", lambda self: None)  # the loss comes after the run has started
    claimed = claim(creating)
    rewinds.high_water.noticed_at = claimed.claimed_at + timedelta(seconds=1)

    outcome = perform(claimed)

    assert far.methods == ["GET"]
    assert outcome.next == Again(0.1, why="the database has lost commits since the claim")


@pytest.mark.usefixtures("lost")
def test_the_status_is_checked_first_even_if_the_setting_is_off(third, creating, far):
    change(third, settle_window=0.001, check_before_create=False)
    far.on("GET", Answer(200, {"status": "completed"}))

    run(creating)

    assert far.methods == ["GET"]


def test_an_old_loss_delays_nothing(third, creating, far):
    change(third, check_before_create=False)
    LostCommits.objects.create(mark={}, noticed_at=Now() - timedelta(days=8))
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert far.methods == ["POST"]


def test_a_claim_after_the_loss_notices_it(alice, third, record, creating):
    rewinds.high_water.check()
    lose(record)

    second = accepted(alice, third, client_ref=record.client_ref)
    run(job(second, "create"))

    assert LostCommits.objects.count() == 1
    assert tries(job(second, "create")) == [("GET", 404)]
