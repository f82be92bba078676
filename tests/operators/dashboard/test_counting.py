"""Counts of status changes per minute: exact, absolute, and kept in the totals."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import ProgrammingError, connection, transaction
from django.db.models import F, Max, Min, Sum
from django.utils import timezone

from operators.dashboard import counting
from operators.dashboard.counting import MINUTE, count_events, count_until
from operators.models import MinuteCount
from providers.status import FINAL, Status
from tests.cast import accepted, now
from tests.running import count, tell
from tests.threads import at_once, errors
from transactions import sql
from transactions.models import Event, Transaction

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def this_minute() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


def as_of() -> datetime | None:
    """Return the end of the last counted minute."""
    last: datetime | None = MinuteCount.objects.aggregate(last=Max("minute"))["last"]
    return last and last + MINUTE


def totals() -> Counter[str]:
    """Return the counted transactions by status."""
    found = Counter(dict(MinuteCount.objects.values_list("status").annotate(Sum("count"))))
    found["pending"] -= sum(found[status] for status in FINAL)
    return +found


def minutes() -> Counter[str]:
    """Return the sums of all minutes that are kept, as the charts show them."""
    kept = MinuteCount.objects.filter(bucket__gte=0, minute__gt=datetime.fromtimestamp(0, UTC))
    found = Counter(dict(kept.values_list("status").annotate(Sum("count"))))
    found["accepted"] = found.pop("pending", 0)
    return +found


def overrule(record, status: str) -> None:
    """Set another final status as staff do, with its event."""
    row = now(record)
    Transaction.objects.filter(pk=record.id).update(status=status, sequence=row.sequence + 1)
    Event.objects.create(
        transaction_id=record.id, kind="status", status=status, sequence=row.sequence + 1, source="staff"
    )


def move_back(seconds: float) -> None:
    """Move all events into the past."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE transactions_event SET at = at - %s * interval '1 second'", [seconds])


def test_accepted_transactions_are_pending_until_they_are_final(alice, third):
    first, _ = accepted(alice, third), accepted(alice, third)
    count()
    assert totals() == {"pending": 2}

    tell(first, "declined")
    count()
    assert totals() == {"pending": 1, "declined": 1}
    assert minutes() == {"accepted": 2, "declined": 1}


def test_an_ignored_contradiction_is_not_counted(record):
    tell(record, "completed")
    tell(record, "failed")
    count()

    assert totals() == minutes() - Counter(accepted=1) == {"completed": 1}


def test_a_status_that_staff_set_later_counts_in_the_totals_and_in_no_minute(record):
    tell(record, "completed")
    overrule(record, "failed")
    count()

    assert totals() == {"failed": 1}
    assert minutes() == {"accepted": 1, "completed": 1}


def test_an_existing_database_is_counted_from_its_first_event_in_batches(alice, third, monkeypatch):
    monkeypatch.setattr(counting, "BATCH", 7)
    chance = random.Random(7)
    for record in [accepted(alice, third) for _ in range(30)]:
        tell(record, chance.choice(Status.values))
        if now(record).status != "pending" and chance.random() < 0.3:
            overrule(record, chance.choice(FINAL))
    newest = Event.objects.latest("pk").pk
    Event.objects.update(at=this_minute() - (newest - F("pk")) * timedelta(minutes=20) - MINUTE)
    first = Event.objects.aggregate(at=Min("at"))["at"]

    assert count_events() is True
    assert first < as_of() < first + timedelta(hours=3)
    batches = 1
    while count_events():
        batches += 1
    assert batches > 5
    assert as_of() == this_minute()
    assert totals() == Counter(Transaction.objects.values_list("status", flat=True))
    assert minutes()["accepted"] == 30


def test_a_minute_is_counted_once_it_has_ended(record):
    count_events()
    assert (totals(), as_of()) == ({}, this_minute())

    move_back(60)
    MinuteCount.objects.all().delete()
    count_events()
    assert totals() == {"pending": 1}


def test_without_events_it_counts_up_to_now():
    assert count_events() is False

    assert (totals(), as_of()) == ({}, this_minute())


def test_it_does_nothing_within_the_same_minute(record, django_assert_max_num_queries):
    count_events()
    with django_assert_max_num_queries(3):  # with those of the transaction
        count_events()


def test_a_run_that_fails_changes_nothing(record, monkeypatch):
    move_back(300)
    count_until(this_minute() - MINUTE)
    with monkeypatch.context() as broken:
        broken.setattr(sql, "FOLD_MINUTES", "SELECT nothing")
        for _ in range(3):
            with pytest.raises(ProgrammingError):
                count_events()
    assert (totals(), as_of()) == ({"pending": 1}, this_minute() - MINUTE)

    count_events()
    assert (totals(), as_of()) == ({"pending": 1}, this_minute())


def test_a_repeated_count_changes_nothing(alice, third):
    tell(accepted(alice, third), "completed")
    move_back(90)
    for _ in range(3):
        count_until(this_minute(), this_minute() - MINUTE)

    assert totals() == {"completed": 1}


def test_old_minutes_are_added_to_the_totals(alice, third):
    tell(accepted(alice, third), "completed")
    overruled = accepted(alice, third)
    tell(overruled, "declined")
    overrule(overruled, "failed")
    move_back(counting.KEEP.total_seconds() + 120)
    for minutes_later in range(3):
        count_until(this_minute() + minutes_later * MINUTE, as_of())

    assert MinuteCount.objects.filter(minute=datetime.fromtimestamp(0, UTC)).exists()
    assert (totals(), minutes()) == ({"completed": 1, "failed": 1}, {})


@pytest.mark.parametrize("took", [0.0, 0.004, 0.2, 1.0, 9.9, 3600.0, 8 * 86400.0])
def test_the_time_to_a_final_status_is_known_to_within_a_tenth(record, took):
    tell(record, "completed")
    Event.objects.filter(sequence=1).update(at=F("at") - timedelta(days=9))
    start = Event.objects.get(sequence=1).at
    Event.objects.filter(sequence=2).update(at=start + timedelta(seconds=took))
    count_until(start + timedelta(seconds=took) + MINUTE)

    told = counting.seconds(MinuteCount.objects.get(status="completed").bucket)
    assert told == pytest.approx(took, rel=0.1, abs=counting.SHORTEST)


@pytest.mark.django_db(transaction=True)
def test_an_event_committed_after_its_minute_was_counted_is_included(alice, third):
    end = this_minute() + MINUTE

    def with_a_later_one_meanwhile():
        with transaction.atomic():
            accepted(alice, third)
            at_once(lambda: accepted(alice, third))
            at_once(lambda: count_until(end))
            assert (totals(), as_of()) == ({"pending": 1}, end)

    assert not errors(at_once(with_a_later_one_meanwhile))
    count_until(end + MINUTE, end)

    assert totals() == {"pending": 2}


@pytest.mark.django_db(transaction=True)
def test_processes_that_count_at_once_count_nothing_twice(alice, third, monkeypatch):
    monkeypatch.setattr(counting, "BATCH", 3)
    for _ in range(20):
        accepted(alice, third)
    Event.objects.update(at=this_minute() - (Event.objects.latest("pk").pk + 1 - F("pk")) * MINUTE)

    def several():
        while as_of() != this_minute():
            count_events()

    assert not errors(at_once(several, several, several))

    assert totals() == {"pending": 20}
    assert minutes() == {"accepted": 20}
