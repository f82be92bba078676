"""Jumps of the database's clock: the comparison, leases, waits, and the clocks of machines."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.db.models import F
from structlog.testing import capture_logs

from tests.clock_shim import ShiftedClock, shifted_clock
from tests.running import again
from tests.workers.probe import new_job
from workers import clock, jobs
from workers.clock import DatabaseClock, Reading
from workers.models import Breaker, Clock, Job, RateLimit, WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = 3600.0
jumps = pytest.mark.parametrize("seconds", [HOUR, 30.0, -30.0, -HOUR])


@pytest.fixture
def database(db: None, monkeypatch: pytest.MonkeyPatch) -> DatabaseClock:
    """This process's clock, with a first reading."""
    found = DatabaseClock()
    monkeypatch.setattr(clock, "database", found)
    found.observe(clock.read())
    return found


@pytest.fixture
def shifted(database: DatabaseClock) -> Iterator[ShiftedClock]:
    with shifted_clock() as found:
        yield found


def notice(database: DatabaseClock) -> bool:
    database.observe(clock.read())
    return database.note_jump()


def reading(at: float, sent: float = 0.0, trip: float = 0.0) -> Reading:
    """A reading `at` seconds after noon, sent `sent` seconds after the first."""
    return Reading(NOON + timedelta(seconds=at), sent, sent + trip)


# --- the comparison


@pytest.mark.parametrize(
    ("later", "jump"),
    [
        (reading(10, 10), 0),
        (reading(10.9, 10), 0),
        (reading(9.1, 10), 0),
        (reading(12, 10), 2),
        (reading(7, 10), -3),
        (reading(3610, 10), 3600),
        (reading(-3590, 10), -3600),
    ],
)
def test_a_difference_of_more_than_a_second_is_a_jump(later, jump):
    assert later.jump_since(reading(0)) == pytest.approx(jump)


@pytest.mark.parametrize("at", [10, 20, 35])
def test_a_process_that_was_frozen_while_it_read_takes_that_for_no_jump(at):
    assert reading(at, 10, trip=25).jump_since(reading(0)) == 0


@pytest.mark.parametrize(("at", "jump"), [(5, -5), (40, 5), (3635, 3600)])
def test_a_long_round_trip_hides_only_a_jump_of_its_length(at, jump):
    assert reading(at, 10, trip=25).jump_since(reading(0)) == pytest.approx(jump)


def test_an_exact_reading_replaces_one_with_a_long_round_trip():
    found = DatabaseClock()
    for each in (reading(0, trip=25), reading(26, 26), reading(37, 27)):
        found.observe(each)

    assert found._jump == pytest.approx(10)


def test_slews_do_not_add_up_to_a_jump():
    found = DatabaseClock()
    for minute in range(60):
        found.observe(reading(minute * 60.03, minute * 60.0))

    assert found._jump == 0


def test_the_machines_clock_runs_while_the_machine_sleeps():
    assert getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) == clock._CLOCK


# --- a jump


@jumps
def test_a_jump_is_noted_once(database, shifted, seconds):
    shifted.jump(seconds)

    assert notice(database)
    assert not notice(database)
    assert Clock.objects.count() == 1


def test_without_a_jump_nothing_is_noted(database, shifted):
    assert not notice(database)
    assert not Clock.objects.exists()


@jumps
def test_the_lease_of_a_running_job_begins_anew(database, shifted, probe, seconds, settings):
    claimed = probe.claim_new()
    shifted.jump(seconds)
    notice(database)

    left = Job.objects.annotate(now=clock.CLOCK_TIMESTAMP, left=F("lease_until") - F("now")).get(pk=claimed.id).left
    assert left.total_seconds() == pytest.approx(settings.CREATE_LEASE, abs=5)


@pytest.mark.parametrize("seconds", [HOUR, 86_400.0, 40.0])
def test_a_lease_that_ended_by_a_jump_is_not_recovered_before_the_jump_is_noticed(database, shifted, probe, seconds):
    claimed = probe.claim_new()
    shifted.jump(seconds)

    assert jobs.recover() == []
    assert Job.objects.get(pk=claimed.id).state == "running"


@jumps
def test_jobs_that_were_claimed_by_another_clock_are_not_begun(database, shifted, probe, seconds):
    claimed = probe.claim_new()
    shifted.jump(seconds)

    with pytest.raises(clock.ClockJumped):
        database.check(clock.read(), [claimed.reading])


def test_a_jump_that_could_not_be_noted_is_noted_later(database, shifted, monkeypatch):
    shifted.jump(HOUR)
    database.observe(clock.read())
    with monkeypatch.context() as away, pytest.raises(OperationalError):
        away.setattr("workers.clock.connection.cursor", _away)
        database.note_jump()

    assert database.note_jump()


def _away() -> None:
    raise OperationalError


# --- the clock went back


@pytest.mark.parametrize(("due_in", "moved"), [(0.0, 0.0), (20.0, 20.0), (1800.0, 1800.0)])
def test_waiting_jobs_keep_what_is_left_of_their_wait(database, shifted, due_in, moved):
    found = new_job(due_in=due_in)
    shifted.jump(-HOUR)
    notice(database)

    while database.move_jobs():
        pass

    assert left_of(found) == pytest.approx(moved, abs=5)


def test_a_second_worker_does_not_move_jobs_again(database, shifted):
    found = new_job(due_in=600)
    other = DatabaseClock()
    other.observe(clock.read())
    shifted.jump(-HOUR)
    for each in (database, other):
        notice(each)
        while each.move_jobs():
            pass

    assert left_of(found) == pytest.approx(600, abs=5)


def test_a_job_that_was_planned_after_the_jump_is_not_moved(database, shifted):
    shifted.jump(-HOUR)
    found = new_job(due_in=600)
    Job.objects.update(updated_at=clock.CLOCK_TIMESTAMP)
    notice(database)
    database.move_jobs()

    assert left_of(found) == pytest.approx(600, abs=5)


def test_more_jobs_than_one_statement_moves_are_moved(database, shifted, monkeypatch):
    monkeypatch.setattr(clock, "MOVED_AT_ONCE", 2)
    found = [new_job(due_in=60) for _ in range(5)]
    shifted.jump(-HOUR)
    notice(database)

    while database.move_jobs():
        pass

    assert [left_of(one) for one in found] == [pytest.approx(60, abs=5)] * 5


def test_a_clock_that_goes_forward_moves_no_job(database, shifted):
    new_job(due_in=600)
    shifted.jump(HOUR)
    notice(database)

    assert not database.move_jobs()


def test_probes_tokens_and_heartbeats_do_not_stay_in_the_future(database, shifted):
    now = clock.CLOCK_TIMESTAMP
    Breaker.objects.create(lane="p1", kind="create", opened_at=now, probe_at=now, failing_since=now)
    RateLimit.objects.create(lane="p1", next_free_at=now)
    WorkerProcess.objects.create(id="00000000-0000-0000-0000-000000000001", host="a", pid=1, queues="", beat_at=now)
    Breaker.objects.create(lane="p2", kind="create")
    shifted.jump(-HOUR)
    notice(database)

    soon = clock.read().at + timedelta(seconds=61)
    assert Breaker.objects.filter(probe_at__lt=soon).exists()
    assert RateLimit.objects.filter(next_free_at__lt=soon).exists()
    assert WorkerProcess.objects.filter(beat_at__lt=soon).exists()


def left_of(found: Job) -> float:
    return (again(found).run_at - clock.read().at).total_seconds()


# --- the machine's own clock


@pytest.mark.parametrize("ahead", [31.0, -31.0, HOUR])
def test_a_machine_whose_clock_is_wrong_warns_once(database, monkeypatch, ahead):
    monkeypatch.setattr(database, "skew", lambda: ahead)
    with capture_logs() as logs:
        for _ in range(3):
            database.observe(clock.read())

    assert [entry["clock"] for entry in logs] == [{"ahead_seconds": ahead}]


@pytest.mark.parametrize("ahead", [0.0, 29.0, -29.0])
def test_a_machine_whose_clock_is_right_does_not_warn(database, monkeypatch, ahead):
    monkeypatch.setattr(database, "skew", lambda: ahead)
    with capture_logs() as logs:
        database.observe(clock.read())

    assert logs == []


@jumps
def test_the_skew_is_the_lead_of_the_machine_over_the_database(database, shifted, seconds):
    shifted.jump(-seconds)
    database.observe(clock.read())

    assert database.skew() == pytest.approx(seconds, abs=1)


def test_before_its_first_reading_it_shows_the_machines_time():
    assert abs(DatabaseClock().now() - datetime.now(UTC)) < timedelta(seconds=1)
