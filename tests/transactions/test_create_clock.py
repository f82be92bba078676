"""The handlers `create` and `track`, and deliveries, if the database's clock jumps."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from clients.models import Client
from providers.models import Provider
from tests.cast import clear_caches, job, now
from tests.clock_shim import ShiftedClock, shifted_clock
from tests.running import again, began, change, claim, expire, perform, run, settle, tell
from tests.servers import Answer
from transactions.models import Transaction
from transactions.snapshot import TransactionSnapshot
from transactions.store import flag_stalled
from transactions.work import DeniedAccess, deny_access
from workers import clock, jobs
from workers.clock import DatabaseClock
from workers.models import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

HOUR = 3600.0
jumps = pytest.mark.parametrize("seconds", [HOUR, 300.0, 45.0, -45.0, -300.0, -HOUR])


@pytest.fixture(autouse=True)
def database(db: None, monkeypatch: pytest.MonkeyPatch) -> DatabaseClock:
    """The clock of a process that has read it once."""
    found = DatabaseClock()
    monkeypatch.setattr(clock, "database", found)
    found.observe(clock.read())
    return found


@pytest.fixture
def shifted(database: DatabaseClock) -> Iterator[ShiftedClock]:
    with shifted_clock() as found:
        yield found


def notice() -> None:
    clock.database.observe(clock.read())
    clock.database.note_jump()


def ago(record: TransactionSnapshot) -> float:
    """Return the seconds since its last create began."""
    began_at = now(record).create_began_at
    assert began_at is not None
    return (clock.read().at - began_at).total_seconds()


def test_a_create_that_was_claimed_after_a_jump_is_handed_back(shifted, creating, far):
    shifted.jump(HOUR)

    assert run(creating).state == "waiting"

    assert far.methods == []
    assert again(creating).lost_at is None


@jumps
def test_nothing_is_sent_again_before_the_window_has_passed_after_a_jump(shifted, record, creating, far, seconds):
    began(record, 110)
    shifted.jump(seconds)
    notice()

    run(creating)

    assert far.methods == ["GET"]


@jumps
def test_the_wait_for_the_window_is_no_longer_than_the_window(shifted, record, creating, far, seconds):
    began(record, 5)
    shifted.jump(seconds)
    notice()

    found = run(creating)

    left = (found.run_at - clock.read().at).total_seconds()
    assert 100 < left <= 121


@jumps
def test_once_the_window_has_passed_after_the_jump_it_is_created(shifted, record, creating, far, third, seconds):
    far.on("POST", Answer(201, {"status": "completed"}))
    began(record, 5)
    shifted.jump(seconds)
    notice()
    change(third, settle_window=0.0)

    run(creating)

    assert far.methods == ["GET", "POST"]


@jumps
def test_a_lost_run_from_before_a_jump_counts_as_begun_at_the_jump(shifted, creating, far, seconds):
    claim(creating)
    expire(creating, 119)
    jobs.recover()
    shifted.jump(seconds)
    notice()

    run(creating)

    assert far.methods == ["GET"]


def test_a_first_create_does_not_wait_after_a_jump(shifted, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    shifted.jump(HOUR)
    notice()

    run(creating)

    assert far.methods == ["GET", "POST"]


@jumps
def test_a_create_in_progress_during_a_jump_began_when_it_began(shifted, record, creating, far, seconds):
    far.on("POST", Answer(504))
    claimed = claim(creating)
    outcome = perform(claimed)
    shifted.jump(seconds)
    settle(claimed, outcome)

    assert abs(ago(record)) < 5


@pytest.mark.parametrize("seconds", [45.0, 300.0, HOUR])
def test_a_create_after_the_clock_went_back_counts_from_its_own_start(shifted, record, creating, far, third, seconds):
    began(record, 0)
    shifted.jump(-seconds)
    notice()
    far.on("POST", Answer(504))
    change(third, settle_window=0.0)
    run(creating)
    change(third, settle_window=120.0)

    run(creating)

    assert far.methods == ["GET", "POST", "GET"]
    assert abs(ago(record)) < 5


def test_a_jump_between_the_claim_and_the_load_begins_nothing(shifted, creating, far):
    claimed = claim(creating)
    shifted.jump(HOUR)
    notice()

    with pytest.raises(clock.ClockJumped):
        jobs.load([claimed])


def test_a_process_that_starts_after_a_jump_knows_it_by_the_row(shifted, record, creating, far, monkeypatch):
    began(record, 5)
    shifted.jump(HOUR)
    notice()
    starting = DatabaseClock()
    monkeypatch.setattr(clock, "database", starting)

    run(creating)

    assert far.methods == ["GET"]


@pytest.mark.parametrize("seconds", [310.0, HOUR, 86_400.0])
def test_a_jump_flags_no_transaction_as_stalled(shifted, record, seconds):
    Transaction.objects.filter(pk=record.id).update(stuck_since=clock.CLOCK_TIMESTAMP)
    shifted.jump(seconds)
    notice()

    flag_stalled()

    assert now(record).review == ""


@pytest.mark.parametrize("seconds", [-90.0, -300.0, -HOUR])
def test_a_denial_from_before_the_clock_went_back_is_not_recent(shifted, third, record, seconds):
    denied = DeniedAccess("403")
    deny_access(third.provider.pk, uuid4(), denied)
    shifted.jump(seconds)
    notice()

    deny_access(third.provider.pk, record.id, denied)

    assert not Provider.objects.get().paused


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 600.0])
def test_a_notification_is_signed_with_the_databases_time(shifted, record, far, seconds):
    shifted.jump(seconds)
    notice()
    far.on("POST", Answer(204))
    Client.objects.update(callback_url=far.url)
    clear_caches()
    tell(record, "completed")

    run(job(record, "notify", "seq:2"))

    [sent] = far.of("POST")
    at = clock.read().at
    assert abs(int(sent.headers["webhook-timestamp"]) - at.timestamp()) < 10
    assert abs(datetime.fromisoformat(sent.json["timestamp"]) - at) < timedelta(seconds=10)


def test_without_a_jump_the_stored_time_counts(record, creating, far):
    began(record, 119)

    assert (run(creating).run_at - clock.read().at).total_seconds() < 2
    assert not Clock.objects.exists()
