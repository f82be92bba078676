"""Figures of the dashboard, and who may view them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from clients.models import Client
from operators.dashboard import counting
from operators.dashboard import overview as module
from operators.dashboard.overview import overview, percentile
from operators.models import MinuteCount
from providers.models import Provider
from tests.cast import accepted, due_now, job, make_provider
from tests.running import count, tell
from transactions.models import Event, Transaction
from transactions.status import Review
from workers.models import Breaker, Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

EVERYTHING = 18
"""Number of queries, independent of the number of rows."""


def seen(*permissions: str):
    """Return the figures for a user with these permissions; with all permissions if none is given."""
    return overview(lambda permission: not permissions or permission in permissions)


def count_a_whole_minute() -> None:
    """Move all events into one minute, and count up to its end."""
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=1)
    for sequence in (1, 2):
        Event.objects.filter(sequence=sequence).update(at=minute + timedelta(seconds=sequence))
    counting.count_until(minute + counting.MINUTE)


def test_the_number_of_queries_is_independent_of_the_number_of_rows(alice, third, django_assert_max_num_queries):
    for n in range(5):
        make_provider(f"third-{n}")
        tell(accepted(alice, third), "completed")
    Transaction.objects.update(review="overdue")
    Client.objects.update(endpoint_failing_since=timezone.now())
    count()

    with django_assert_max_num_queries(EVERYTHING):
        assert seen().flow.totals["completed"] == 5


def test_the_flow_shows_until_when_events_are_counted(record):
    assert seen().flow is None
    Event.objects.update(at=Now() - timedelta(hours=2))
    until = (timezone.now() - timedelta(hours=1)).replace(second=0, microsecond=0)
    counting.count_until(until)

    assert seen().flow.as_of == until
    assert seen().flow.age == pytest.approx(3600, abs=70)


def test_it_shows_transactions_by_status_now_and_over_time(alice, third):
    first, second, _ = (accepted(alice, third) for _ in range(3))
    tell(first, "completed")
    tell(second, "failed")
    count_a_whole_minute()

    flow = seen().flow
    assert flow.totals == {"pending": 1, "completed": 1, "declined": 0, "failed": 1}
    assert flow.minute == flow.hour[-1].counts == {"accepted": 3, "completed": 1, "declined": 0, "failed": 1}
    assert flow.final_a_minute == 2
    assert flow.times.keys() == {50, 95, 99}


def test_columns_have_no_gap_and_end_with_the_last_whole_period(record):
    for at, n in ((datetime(2026, 5, 4, 10, 19, tzinfo=UTC), 7), (datetime(2026, 5, 4, 9, 46, tzinfo=UTC), 5)):
        MinuteCount.objects.create(minute=at, status="pending", bucket=0, count=n)

    flow = seen().flow
    assert [f"{one.at:%H:%M}" for one in (flow.hour[0], flow.hour[-1])] == ["09:20", "10:19"]
    assert [f"{one.at:%d %H:%M}" for one in (flow.day[0], flow.day[-1])] == ["03 10:15", "04 10:00"]
    assert (len(flow.hour), len(flow.day)) == (60, 96)
    assert {f"{one.at:%H:%M}": one.counts["accepted"] for one in flow.day if one.counts["accepted"]} == {"09:45": 5}


@pytest.mark.parametrize(("share", "bucket"), [(0.0, 3), (0.5, 3), (0.51, 8), (0.95, 8), (0.951, 20), (1.0, 20)])
def test_a_percentile_is_the_time_that_this_share_took_at_most(share, bucket):
    assert percentile([(3, 500), (8, 450), (20, 50)], share) == counting.seconds(bucket)


def test_pending_transactions_are_counted_now_and_beyond_the_bound_up_to_the_last_minute(alice, third, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    for _ in range(2):
        accepted(alice, third)
    count()
    assert seen().flow.totals["pending"] == 2

    accepted(alice, third)
    assert str(seen().flow.totals["pending"]) == "3 or more"

    accepted(alice, third)
    count()
    assert str(seen().flow.totals["pending"]) == "4"


def test_reviews_are_counted_by_reason(alice, third, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    for review in ("overdue", "contradiction", "contradiction", "contradiction", ""):
        Transaction.objects.filter(pk=accepted(alice, third).id).update(review=review, review_why=f"{review}!")

    assert {one.reason: (str(one.number), one.why) for one in seen().reviews} == {
        Review.OVERDUE: ("1", "overdue!"), Review.CONTRADICTION: ("2 or more", "contradiction!")
    }  # fmt: skip


def test_a_provider_has_its_due_jobs_and_open_breakers(record, third):
    Provider.objects.update(paused=True, paused_why="credentials", max_in_flight=7)
    due_now()
    Job.objects.filter(pk=job(record, "create").pk).update(state="running", lease_until=Now() + timedelta(seconds=20))
    Breaker.objects.create(lane=third.provider.lane, kind="create", opened_at=timezone.now(), probe_at=timezone.now())
    Breaker.objects.create(lane=third.provider.lane, kind="track")

    [found] = seen().providers
    assert (found.provider.paused_why, found.held_back) == ("credentials", ("create",))
    assert (found.in_flight, found.provider.max_in_flight, found.due, found.calls) == (1, 7, 1, None)


def test_an_open_breaker_that_is_turned_off_is_not_shown(third):
    Breaker.objects.create(lane=third.provider.lane, kind="create", opened_at=timezone.now(), probe_at=timezone.now())
    Provider.objects.update(circuit_breaker=False)

    assert seen().providers[0].held_back == ()


def fails(lane: str, kind: str, minutes: float, runs: int = 3) -> None:
    ago = timezone.now() - timedelta(minutes=minutes)
    Breaker.objects.create(lane=lane, kind=kind, failing_since=ago, failed_runs=runs, failed_at=timezone.now())


def test_a_provider_has_the_kinds_of_jobs_that_all_fail(third):
    quiet, healthy = make_provider("quiet").provider, make_provider("healthy").provider
    fails(third.provider.lane, "create", 5)
    fails(third.provider.lane, "track", 9)
    fails(quiet.lane, "track", 4)
    fails(healthy.lane, "create", 5, runs=2)
    fails(healthy.lane, "track", 0.5, runs=90)

    found = {one.provider.slug: list(one.failing) for one in seen().providers}
    assert found == {"third": ["create", "track"], "quiet": ["track"], "healthy": []}


def test_a_kind_that_is_held_back_is_not_shown_as_failing_as_well(third):
    fails(third.provider.lane, "create", 5)
    Breaker.objects.update(opened_at=timezone.now(), probe_at=timezone.now())

    [found] = seen().providers
    assert (found.held_back, found.failing) == (("create",), {})


def test_without_a_circuit_breaker_the_kind_is_shown_as_failing(third):
    fails(third.provider.lane, "create", 5)
    Breaker.objects.update(opened_at=timezone.now(), probe_at=timezone.now())
    Provider.objects.update(circuit_breaker=False)

    [found] = seen().providers
    assert (found.held_back, list(found.failing)) == ((), ["create"])


def test_failing_endpoints_have_their_number_of_queued_notifications(alice, mallory, third):
    accepted(alice, third)
    Job.objects.filter(kind="notify").update(run_at=Now() + timedelta(hours=5))
    Client.objects.filter(name="alice").update(endpoint_failing_since=timezone.now())

    [found] = seen().endpoints
    assert (found.client.name, found.waiting) == ("alice", 1)


def test_figures_without_permission_are_none(record):
    count()
    parts = ("flow", "reviews", "queues", "processes", "providers", "endpoints")
    of = {
        "transactions.view_transaction": {"flow", "reviews"},
        "workers.view_job": {"queues"},
        "workers.view_workerprocess": {"processes"},
        "providers.view_provider": {"providers"},
        "clients.view_client": {"endpoints"},
    }

    for permission, shown in of.items():
        assert {part for part in parts if getattr(seen(permission), part) is not None} == shown
