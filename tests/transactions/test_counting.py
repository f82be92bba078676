"""Counts for operators: made of the timelines, exact, and no entry is left out or counted twice."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from tests.cast import accepted, now
from tests.running import count, tell
from tests.threads import at_once, errors
from transactions import counting
from transactions.counting import count_events
from transactions.models import Duration, Event, Minute, Totals, Transaction
from transactions.status import FINAL, Status

pytestmark = pytest.mark.django_db


def begin_before(number: int) -> None:
    """Other tests have used up the numbers below this one."""
    Totals.objects.create(pk=1, counted=number - 1, newest=number - 1)


def totals() -> dict[str, int]:
    found = Totals.objects.get()
    return {status: getattr(found, status) for status in Status if getattr(found, status)}


def minutes() -> Counter[str]:
    """What all minutes brought together."""
    found: Counter[str] = Counter()
    for minute in Minute.objects.values("accepted", "completed", "declined", "failed"):
        found.update(minute)
    return +found


def overrule(record, status: str) -> None:
    """Staff set another final status, with its entry on the timeline."""
    row = now(record)
    Transaction.objects.filter(pk=record.id).update(status=status, sequence=row.sequence + 1)
    Event.objects.create(
        transaction_id=record.id, kind="status", status=status, sequence=row.sequence + 1, source="staff"
    )


def move_back(seconds: float) -> None:
    """Let everything on the timelines have happened so many seconds earlier."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE transactions_event SET at = at - %s * interval '1 second'", [seconds])


def test_what_was_accepted_is_pending_and_then_what_it_became(alice, third):
    first, _ = accepted(alice, third), accepted(alice, third)
    count()
    assert totals() == {"pending": 2}

    tell(first, "declined")
    count()
    assert totals() == {"pending": 1, "declined": 1}
    assert minutes() == {"accepted": 2, "declined": 1}


def test_a_contradiction_that_is_not_taken_counts_nothing(record):
    tell(record, "completed")
    tell(record, "failed")
    count()

    assert totals() == minutes() - Counter(accepted=1) == {"completed": 1}


def test_what_staff_set_later_counts_in_the_totals_and_in_no_minute(record):
    tell(record, "completed")
    overrule(record, "failed")
    count()

    assert totals() == {"failed": 1}
    assert minutes() == {"accepted": 1, "completed": 1}
    assert Duration.objects.get().count == 1


def test_an_existing_database_is_counted_from_its_first_entry_in_steps(alice, third, monkeypatch):
    monkeypatch.setattr(counting, "MOST", 7)
    chance = random.Random(7)
    for record in [accepted(alice, third) for _ in range(30)]:
        tell(record, chance.choice(Status.values))
        if now(record).status != "pending" and chance.random() < 0.3:
            overrule(record, chance.choice(FINAL))

    begin_before(first := Event.objects.earliest("pk").pk)

    assert count_events() is True  # it has seen how much there is
    assert count_events() is True
    assert (Totals.objects.get().counted, Totals.objects.get().newest) == (first + 6, Event.objects.latest("pk").pk)
    count()

    assert totals() == Counter(Transaction.objects.values_list("status", flat=True))
    assert minutes()["accepted"] == 30


def test_a_step_that_fails_leaves_what_was_counted_before(record, monkeypatch):
    count()

    def fail(*_, **__):
        raise LookupError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(Totals, "save", fail)
        tell(record, "completed")
        for _ in range(3):
            with pytest.raises(LookupError):
                count_events()
    assert (totals(), minutes()) == ({"pending": 1}, {"accepted": 1})

    count()
    assert (totals(), minutes()) == ({"completed": 1}, {"accepted": 1, "completed": 1})


def test_minutes_are_kept_for_a_while_and_totals_for_ever(alice, third):
    tell(accepted(alice, third), "completed")
    move_back(counting.KEEP.total_seconds() + 60)  # as long ago as in a database that exists
    tell(accepted(alice, third), "failed")
    count()
    assert (totals(), minutes()) == ({"completed": 1, "failed": 1}, {"accepted": 1, "failed": 1})

    for kept in (Minute, Duration):
        kept.objects.update(minute=F("minute") - counting.KEEP - timedelta(minutes=1))
    accepted(alice, third)
    count()
    assert (minutes(), Duration.objects.count()) == ({"accepted": 1}, 0)


@pytest.mark.parametrize("took", [0.0, 0.004, 0.2, 1.0, 9.9, 3600.0, 8 * 86400.0])
def test_the_time_to_a_final_status_is_known_to_within_a_tenth(record, took):
    tell(record, "completed")
    start, _ = Event.objects.values_list("at", flat=True)
    Event.objects.filter(sequence=2).update(at=start + timedelta(seconds=took))
    count()

    told = counting.seconds(Duration.objects.get().bucket)
    assert told == pytest.approx(took, rel=0.1, abs=counting.SHORTEST)


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_is_committed_after_one_with_a_higher_number_is_not_left_out(alice, third):
    def with_a_later_one_meanwhile():
        with transaction.atomic():
            accepted(alice, third)
            at_once(lambda: accepted(alice, third))
            for _ in range(3):
                at_once(count_events)
            assert (totals(), Totals.objects.get().as_of) == ({}, None)

    assert not errors(at_once(with_a_later_one_meanwhile))
    count()

    assert totals() == {"pending": 2}


@pytest.mark.django_db(transaction=True)
def test_processes_that_count_at_once_count_nothing_twice(alice, third, monkeypatch):
    monkeypatch.setattr(counting, "MOST", 3)
    for _ in range(20):
        accepted(alice, third)
    begin_before(Event.objects.earliest("pk").pk)

    def several():
        for _ in range(10):
            count_events()

    assert not errors(at_once(several, several, several))
    count()

    assert totals() == {"pending": 20}
    assert minutes() == {"accepted": 20}
