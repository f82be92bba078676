"""Observations: the same rules apply to every source."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from providers.models import Provider
from providers.status import FINAL, Status
from tests.cast import accepted, make_provider, now
from tests.running import age, timeline
from tests.threads import at_once, errors
from transactions.models import Event, Transaction
from transactions.observations import Observation
from transactions.status import PASSING, Review, Source, Submission
from transactions.store import apply
from transactions.work import PauseProvider, pause_provider
from workers.models import Job
from workers.outcomes import Wake

pytestmark = pytest.mark.django_db


def tell(record, status="pending", source=Source.WEBHOOK, **fields):
    """Apply one observation; return its effect."""
    [applied], _ = apply([(record.id, Observation(source, status=Status(status), **fields))])
    return applied


# --- status


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("source", [Source.CREATE, Source.POLL, Source.WEBHOOK, Source.STAFF, Source.CLOCK])
def test_the_first_final_status_wins(record, status, source):
    applied = tell(record, status, source)

    assert (applied.won, applied.contradicts, applied.status_before) == (True, False, "pending")
    row = now(record)
    assert (row.status, row.sequence) == (status, 2)
    assert row.finalised_at is not None
    assert row.created_at < row.updated_at and row.created_at < row.finalised_at
    assert timeline(record) == [("status", "pending", 1, "api"), ("status", status, 2, source)]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FINAL, 2)))
def test_a_different_later_final_status_is_recorded_and_flagged_but_not_applied(record, first, second):
    tell(record, first)
    before = now(record)

    applied = tell(record, second, Source.POLL, detail={"a": "b"}, failure_code="late")

    assert (applied.won, applied.contradicts, applied.status_before) == (False, True, first)
    row = now(record)
    assert (row.status, row.sequence, row.finalised_at) == (first, 2, before.finalised_at)
    assert (row.review, row.failure_code) == ("contradiction", "")
    assert timeline(record)[2:] == [("contradiction", second, None, "poll")]
    assert Event.objects.get(kind="contradiction").detail == {"a": "b"}


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FINAL, 2)))
def test_staff_cannot_replace_a_status_that_is_not_contradicted(record, first, second):
    tell(record, first)

    applied = tell(record, second, Source.STAFF)

    assert (applied.won, applied.contradicts) == (False, False)
    assert (now(record).status, now(record).review, len(timeline(record))) == (first, "", 2)


@pytest.mark.parametrize("status", FINAL)
def test_the_same_final_status_again_changes_nothing(record, status):
    tell(record, status)
    before, jobs = now(record), list(Job.objects.values())

    applied = tell(record, status)

    assert (applied.won, applied.contradicts) == (False, False)
    after = now(record)
    assert (after.sequence, after.finalised_at, after.review) == (before.sequence, before.finalised_at, "")
    assert list(Job.objects.values()) == jobs
    assert len(timeline(record)) == 2


def test_pending_after_a_final_status_changes_nothing(record):
    tell(record, "completed")

    applied = tell(record, "pending")

    assert (applied.won, applied.contradicts) == (False, False)
    assert (now(record).status, now(record).sequence) == ("completed", 2)
    assert len(timeline(record)) == 2


def test_a_pending_observation_changes_no_status_and_writes_no_entry(record):
    applied = tell(record, "pending")

    assert (applied.won, applied.contradicts) == (False, False)
    assert now(record).sequence == 1
    assert len(timeline(record)) == 1


def test_every_contradiction_is_recorded(record):
    tell(record, "completed")
    tell(record, "declined")
    tell(record, "failed")

    assert [status for kind, status, *_ in timeline(record) if kind == "contradiction"] == ["declined", "failed"]


def test_only_the_winning_observation_stores_its_failure(record):
    tell(record, "failed", failure_code="refused", failure_detail="closed")
    tell(record, "failed", failure_code="other", failure_detail="else")

    assert (now(record).failure_code, now(record).failure_detail) == ("refused", "closed")


def test_a_status_the_database_does_not_know_is_refused(record):
    with pytest.raises(IntegrityError), transaction.atomic():
        apply([(record.id, Observation(Source.POLL, status="doubtful"))])  # type: ignore[arg-type]

    assert now(record).status == "pending"


# --- submission


@pytest.mark.parametrize(
    ("was", "told", "becomes"),
    [
        ("unsent", None, "unsent"),
        ("unsent", "unknown", "unknown"),
        ("unsent", "created", "created"),
        ("unsent", "refused", "refused"),
        ("unknown", None, "unknown"),
        ("unknown", "unknown", "unknown"),
        ("unknown", "created", "created"),
        ("unknown", "refused", "refused"),
        ("created", None, "created"),
        ("created", "unknown", "created"),
        ("created", "refused", "created"),
        ("refused", "unknown", "refused"),
        ("refused", "created", "refused"),
    ],
)
def test_submission_only_moves_forward(record, was, told, becomes):
    Transaction.objects.filter(pk=record.id).update(submission=was)

    tell(record, submission=told and Submission(told))

    assert now(record).submission == becomes


def test_the_start_of_the_last_create_only_moves_forward(record):
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    for began_at in (early, late, None, early):
        tell(record, began_at=began_at)

    assert now(record).create_began_at == late


# --- review


@pytest.mark.parametrize("review", Review.values)
def test_an_observation_can_flag_for_review(record, review):
    tell(record, review=review, detail={"why": "so"}, source=Source.CLOCK)

    assert now(record).review == review
    assert timeline(record)[1:] == [("review", "", None, "clock")]
    assert Event.objects.get(kind="review").detail == {"why": "so", "review": review}


@pytest.mark.parametrize("passing", PASSING)
@pytest.mark.parametrize("lasting", set(Review) - set(PASSING))
def test_a_reason_that_staff_must_resolve_replaces_one_that_passes(record, passing, lasting):
    tell(record, review=passing, detail={"why": "first"})
    tell(record, review=lasting, detail={"why": "second"})
    tell(record, usable=True)

    assert (now(record).review, now(record).review_why) == (lasting, "second")


def test_the_first_review_reason_stays_while_the_status_is_pending(record):
    tell(record, review=Review.CREDENTIALS)
    tell(record, review=Review.OVERDUE)

    assert now(record).review == "credentials"
    assert len(timeline(record)) == 2


@pytest.mark.parametrize("review", [Review.OVERDUE, Review.CREDENTIALS, Review.GIVEN_UP])
def test_a_final_status_removes_the_review_flag(record, review):
    tell(record, review=review)
    tell(record, "completed")

    assert now(record).review == ""


def test_a_final_status_keeps_the_review_flag_unmapped(record):
    tell(record, review=Review.UNMAPPED)
    tell(record, "completed")

    assert now(record).review == "unmapped"


def test_a_contradiction_replaces_every_other_review_reason(record):
    tell(record, "completed", review=Review.UNMAPPED)
    tell(record, "declined")
    tell(record, review=Review.OVERDUE)

    assert now(record).review == "contradiction"


# --- whose word it is


def test_an_observation_by_another_provider_changes_nothing(record):
    other = make_provider("other")

    applied, wakes = apply(
        [(record.id, Observation(Source.WEBHOOK, status=Status.COMPLETED, provider=other.provider.pk))]
    )

    assert (applied, wakes) == ([], [])
    assert (now(record).status, len(timeline(record))) == ("pending", 1)


def test_an_observation_by_its_own_provider_is_applied(record, third):
    assert tell(record, "completed", provider=third.provider.pk).won


# --- batches


def test_observations_of_many_transactions_are_applied_in_one_batch(alice, mallory, third):
    records = [accepted(who, third) for who in (alice, mallory, alice)]
    words = [Status.COMPLETED, Status.DECLINED, Status.PENDING]

    applied, wakes = apply([(r.id, Observation(Source.POLL, status=w)) for r, w in zip(records, words, strict=True)])

    assert [now(record).status for record in records] == words
    assert {one.transaction_id: one.won for one in applied} == {
        records[0].id: True, records[1].id: True, records[2].id: False
    }  # fmt: skip
    assert set(wakes) == {Wake("notify", alice.settings.lane), Wake("notify", mallory.settings.lane)}


@pytest.mark.parametrize(("first", "second"), [("completed", "declined"), ("declined", "completed")])
def test_several_observations_of_one_transaction_are_applied_in_order(record, first, second):
    told = [
        Observation(Source.CREATE, status=Status(first)),
        Observation(Source.POLL),
        Observation(Source.POLL, status=Status(second)),
    ]

    applied, _ = apply([(record.id, one) for one in told])

    assert [(one.won, one.contradicts) for one in applied] == [(True, False), (False, False), (False, True)]
    assert (now(record).status, now(record).review) == (first, "contradiction")
    assert Job.objects.filter(kind="notify", key__startswith="seq:", transaction_id=record.id).count() == 2


def test_an_observation_of_an_unknown_id_is_ignored(record):
    applied, _ = apply(
        [(uuid4(), Observation(Source.POLL, status=Status.FAILED)), (record.id, Observation(Source.POLL))]
    )

    assert [one.transaction_id for one in applied] == [record.id]


def test_applying_no_observation_does_nothing():
    assert apply([]) == ([], [])


def test_detail_of_any_shape_is_stored(record):
    detail = {"deep": {"list": [1, None, "ü"]}, "quote": "'; --", "percent": "%s"}
    tell(record, "completed", detail=detail)

    assert Event.objects.get(sequence=2).detail == detail


# --- pausing


def test_a_paused_provider_keeps_the_first_reason(third):
    pause_provider(third.provider.pk, PauseProvider("first " + "x" * 300))
    pause_provider(third.provider.pk, PauseProvider("second"))

    paused = Provider.objects.get(pk=third.provider.pk)
    assert paused.paused
    assert paused.paused_why.startswith("first ") and len(paused.paused_why) == 255


# --- at the same time


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_final_statuses_wins(record):
    def say(status):
        return apply([(record.id, Observation(Source.WEBHOOK, status=status))])[0][0]

    results = at_once(*(lambda status=status: say(status) for status in (Status.COMPLETED, Status.DECLINED) * 3))

    assert errors(results) == []
    [winner] = [one for one in results if one.won]
    assert sum(one.contradicts for one in results) == 3
    assert winner.status_before == "pending"
    assert (now(record).sequence, now(record).review) == (2, "contradiction")
    assert Job.objects.filter(transaction_id=record.id, key="seq:2").count() == 1
    assert [sequence for _, _, sequence, _ in timeline(record) if sequence] == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_concurrent_equal_final_statuses_are_notified_once(record):
    def say():
        return apply([(record.id, Observation(Source.WEBHOOK, status=Status.COMPLETED))])[0][0]

    results = at_once(*[say] * 6)

    assert sorted(one.won for one in results) == [False] * 5 + [True]
    assert (now(record).review, len(timeline(record))) == ("", 2)


@pytest.mark.django_db(transaction=True)
def test_batches_in_opposite_order_do_not_deadlock(alice, third):
    records = [accepted(alice, third) for _ in range(40)]

    def say(batch):
        for _ in range(10):
            apply([(one.id, Observation(Source.POLL, submission=Submission.CREATED)) for one in batch])

    results = at_once(*(lambda batch=batch: say(batch) for batch in (records, records[::-1]) * 3))

    assert errors(results) == []


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_two_entries_with_one_sequence(record):
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(transaction_id=record.id, kind="status", status="failed", sequence=1, source="staff")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "completed"},
        {"status": "odd"},
        {"submission": "odd"},
        {"review": "odd"},
        {"amount": 0},
        {"finalised_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_the_database_refuses_an_impossible_row(record, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        Transaction.objects.filter(pk=record.id).update(**wrong)


def test_age_alone_changes_nothing(record):
    age(record, timedelta(days=400).total_seconds())
    tell(record)

    assert now(record).status == "pending"


def test_applying_takes_one_statement(record, django_assert_num_queries):
    with django_assert_num_queries(1):
        tell(record, "completed")
    assert connection.connection is not None
