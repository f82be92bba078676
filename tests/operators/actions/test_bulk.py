"""Bulk runs: one action on many rows, once per row, even if a worker dies."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, InternalError, OperationalError
from django.db.models.functions import Now

from operators.actions import bulk
from operators.actions.table import ACTIONS
from operators.models import BulkRun
from operators.search import UnknownFilter
from tests.cast import accepted
from tests.threads import at_once
from tests.transactions.api.outages import from_server
from transactions.models import Event, Transaction
from txnproject.jobs import JOBS
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FAILED = {"state": "failed", "kind": "track"}


@pytest.fixture
def olga(db: None) -> User:
    """Give Olga the permission to retry jobs."""
    user = User.objects.create_user("olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="retry_job"))
    return user


@pytest.fixture
def five(alice, third) -> list[int]:
    """Five failed jobs, in their order."""
    for _ in range(5):
        accepted(alice, third)
    Job.objects.filter(kind="track").update(state="failed", last_error="given up")
    return list(Job.objects.filter(kind="track").order_by("pk").values_list("pk", flat=True))


@pytest.fixture
def begin(olga):
    """Start a run of retries."""

    def go(params: dict[str, str] | None = None, **given: Any) -> BulkRun:
        asked = {"action": "retry", "by": olga, "reason": "the provider is back", "token": uuid4(), **given}
        return bulk.start(params=FAILED if params is None else params, **asked)

    return go


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 2)
    monkeypatch.setattr(bulk, "STEP", 60)


def to_its_end(run: BulkRun) -> BulkRun:
    while bulk.step():
        pass
    return now(run)


def now(run: BulkRun) -> BulkRun:
    return BulkRun.objects.get(pk=run.pk)


def lease_over() -> None:
    BulkRun.objects.update(lease_until=Now() - timedelta(seconds=1))


def failed() -> set[int]:
    return set(Job.objects.filter(state="failed").values_list("pk", flat=True))


def deeds() -> int:
    return Event.objects.filter(kind="staff").count()


def test_a_run_applies_the_action_to_every_matching_row(begin, five):
    run = to_its_end(begin())

    assert failed() == set()
    assert (run.state, run.total, run.tried) == ("done", 5, 5)
    assert run.results == {"": {"rows": 5, "first": [str(pk) for pk in five]}}
    assert run.finished_at is not None


@pytest.mark.parametrize(("minutes", "continues"), [(0.4, False), (2, True), (60, True)])
def test_a_lease_from_before_the_clock_went_back_holds_up_no_run(begin, five, minutes, continues):
    begin()
    BulkRun.objects.update(lease_until=Now() + timedelta(minutes=minutes))

    assert bulk.step() is continues


def test_each_timeline_names_the_user_the_reason_and_the_run(begin, five):
    run = to_its_end(begin())

    told = Event.objects.filter(kind="staff").values_list("detail__who", "detail__why")
    assert list(told) == 5 * [("olga", f"the provider is back (bulk run {run.pk})")]


def test_the_start_is_in_the_audit_log(begin, olga, five):
    run = begin()

    entry = LogEntry.objects.get(content_type__model="bulkrun")
    assert (entry.user, entry.object_id) == (olga, str(run.pk))
    assert entry.get_change_message() == "Started: Retry: the provider is back"


def test_a_step_processes_one_batch_in_the_order_of_the_keys(begin, five):
    run = begin()

    assert bulk.step()
    assert failed() == set(five[2:])
    assert (now(run).state, now(run).position, now(run).tried) == ("running", str(five[1]), 2)


def test_a_slow_step_ends_before_its_batch(begin, five, monkeypatch):
    monkeypatch.setattr(bulk, "STEP", 0)
    run = begin()

    bulk.step()
    assert now(run).tried == 1
    assert to_its_end(run).tried == 5


def test_rows_created_after_the_start_are_excluded(begin, five, alice, third):
    run = begin()
    later = accepted(alice, third)
    Job.objects.filter(transaction_id=later.id, kind="track").update(state="failed")

    assert to_its_end(run).tried == 5
    assert failed() == {Job.objects.get(transaction_id=later.id, kind="track").pk}


def test_rows_that_start_matching_during_the_run_are_included(begin, five):
    Job.objects.filter(pk=five[4]).update(state="waiting")
    run = begin()
    bulk.step()
    Job.objects.filter(pk=five[4]).update(state="failed")

    assert (to_its_end(run).total, now(run).tried) == (4, 5)


def test_only_chosen_rows_are_processed(begin, five):
    run = to_its_end(begin({}, chosen=five[1:4]))

    assert failed() == {five[0], five[4]}
    assert (run.total, run.tried) == (3, 3)


def test_transactions_are_chosen_by_id(begin, olga, alice, third):
    olga.user_permissions.set(Permission.objects.filter(codename="cancel_tracking"))
    records = [accepted(alice, third) for _ in range(3)]
    Transaction.objects.update(submission="created")

    run = to_its_end(begin({}, action="cancel_tracking", chosen=[record.id for record in records[:2]]))

    assert (run.state, run.tried) == ("done", 2)


def test_an_age_filter_is_measured_from_the_start(begin, olga, alice, third):
    olga.user_permissions.set(Permission.objects.filter(codename="poll_now"))
    accepted(alice, third)
    run = begin({"age": "hour"}, action="poll_now")
    BulkRun.objects.update(created_at=Now() - timedelta(days=3))

    assert to_its_end(run).tried == 1


def test_a_refused_row_is_counted_with_the_reason(begin, five):
    Transaction.objects.filter(pk=Job.objects.get(pk=five[2]).transaction_id).update(
        status="completed", finalised_at=Now()
    )

    run = to_its_end(begin())

    assert run.results[""]["rows"] == 4
    assert run.results["its transaction is final: nothing is left to do"] == {"rows": 1, "first": [str(five[2])]}
    assert deeds() == 4


def test_a_result_lists_the_first_few_rows(begin, five, monkeypatch):
    monkeypatch.setattr(bulk, "EXAMPLES", 2)

    assert to_its_end(begin()).results[""] == {"rows": 5, "first": [str(pk) for pk in five[:2]]}


def test_reasons_beyond_the_limit_are_counted_together(begin, five, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_RESULTS", 1)
    Transaction.objects.filter(pk=Job.objects.get(pk=five[2]).transaction_id).update(
        status="completed", finalised_at=Now()
    )

    assert to_its_end(begin()).results[bulk.OTHER]["rows"] == 1


def test_a_run_with_too_many_rows_to_count_is_completed(begin, five, monkeypatch):
    monkeypatch.setattr(bulk, "MOST_COUNTED", 4)

    run = to_its_end(begin())
    assert (run.total, run.tried) == (None, 5)


def test_a_form_submitted_twice_starts_one_run(begin, five):
    token = uuid4()

    assert begin(token=token) == begin(token=token)
    assert BulkRun.objects.count() == LogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_form_submitted_twice_at_the_same_time_starts_one_run(begin, five):
    token = uuid4()

    one, other = at_once(lambda: begin(token=token), lambda: begin(token=token))
    assert one == other
    assert LogEntry.objects.count() == 1


def test_a_stopped_run_leaves_the_remaining_rows_unchanged(begin, olga, five):
    run = begin()
    bulk.step()

    assert bulk.stop(pk=run.pk, by=olga)
    assert (to_its_end(run).state, now(run).tried) == ("stopped", 2)
    assert now(run).finished_at is not None
    assert failed() == set(five[2:])
    assert LogEntry.objects.latest("pk").get_change_message() == "Stopped"


def test_a_run_is_stopped_once(begin, olga, five):
    run = begin()

    assert bulk.stop(pk=run.pk, by=olga)
    assert not bulk.stop(pk=run.pk, by=olga)
    assert LogEntry.objects.filter(change_message="Stopped").count() == 1


def test_a_run_that_has_ended_is_not_stopped(begin, olga, five):
    run = to_its_end(begin())

    assert not bulk.stop(pk=run.pk, by=olga)
    assert now(run).state == "done"


def test_stopping_a_run_rolls_back_the_row_that_is_being_processed(begin, olga, five, monkeypatch):
    run, steps = begin(), ACTIONS["retry"].steps

    def stopped_meanwhile(job):
        if job.pk == five[1]:
            BulkRun.objects.filter(pk=run.pk).update(state="stopped", finished_at=Now())
        return steps(job)

    with monkeypatch.context() as patched:
        patched.setitem(ACTIONS, "retry", _with(steps=stopped_meanwhile))
        bulk.step()

    assert (now(run).tried, deeds(), failed()) == (1, 1, set(five[1:]))


def test_another_worker_continues_after_a_worker_was_killed(begin, five, monkeypatch):
    run = begin()
    rows, steps = iter(five), ACTIONS["retry"].steps

    def killed(job):
        if next(rows) == five[1]:
            raise SystemExit
        return steps(job)

    with monkeypatch.context() as patched:
        patched.setitem(ACTIONS, "retry", _with(steps=killed))
        with pytest.raises(SystemExit):
            bulk.step()
    assert not bulk.step()  # its lease is not over

    lease_over()
    assert to_its_end(run).results == {"": {"rows": 5, "first": [str(pk) for pk in five]}}
    assert deeds() == 5


def _with(**changed: Any) -> Any:
    from dataclasses import replace

    return replace(ACTIONS["retry"], **changed)


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("the connection is lost"),
        from_server(InternalError, "25006"),
        from_server(InternalError, "25P02"),
        from_server(DatabaseError, "57P01"),
    ],
)
def test_the_effect_and_the_count_are_one_commit(begin, five, monkeypatch, error):
    run = begin()

    def cut_off(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "_count", cut_off)
        with pytest.raises(type(error)):
            bulk.step()

    assert failed() == set(five) and deeds() == 0
    lease_over()
    assert to_its_end(run).tried == 5


def test_a_worker_that_was_overtaken_rolls_back_its_row(begin, five, monkeypatch):
    run = begin()
    steps = ACTIONS["retry"].steps

    def overtaken(job):
        BulkRun.objects.filter(pk=run.pk).update(position=str(five[3]))
        return steps(job)

    monkeypatch.setitem(ACTIONS, "retry", _with(steps=overtaken))
    bulk.step()

    assert failed() == set(five) and deeds() == 0


@pytest.mark.django_db(transaction=True)
def test_two_workers_process_each_row_once(begin, five):
    one, other = begin(), begin()

    at_once(*[lambda: [bulk.step() for _ in range(8)] for _ in range(2)])
    to_its_end(one)

    assert deeds() == 5
    assert now(one).tried + now(other).tried <= 10
    assert now(one).results.get("", {"rows": 0})["rows"] + now(other).results.get("", {"rows": 0})["rows"] == 5


def test_runs_take_turns(begin, five):
    one, other = begin({}, chosen=five[:3]), begin({}, chosen=five[3:])

    bulk.step()
    bulk.step()

    assert now(one).tried == now(other).tried == 2


@pytest.mark.parametrize("lost", ["permission", "account", "staff"])
def test_a_run_fails_when_its_user_loses_the_permission(begin, olga, five, lost):
    run = begin()
    bulk.step()
    if lost == "permission":
        olga.user_permissions.clear()
    User.objects.update(is_active=lost != "account", is_staff=lost != "staff")

    assert (to_its_end(run).state, now(run).why) == ("failed", "olga no longer has the permission")
    assert failed() == set(five[2:])


def test_an_unexpected_error_fails_the_run_with_a_reason(begin, five, monkeypatch):
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(ACTIONS, "retry", _with(steps=broken))

    assert to_its_end(begin()).state == "failed"
    assert "unexpected" in BulkRun.objects.get().why


def test_a_run_of_an_unknown_action_fails(begin, five, monkeypatch):
    run = begin()
    monkeypatch.delitem(ACTIONS, "retry")

    assert to_its_end(run).why == "this version has no action retry"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"reason": " "}, ValueError),
        ({"action": "set_status"}, ValueError),
        ({"params": {"state": "failed", "crashes": "1"}}, UnknownFilter),
    ],
)
def test_an_invalid_request_starts_no_run(begin, five, given, error):
    with pytest.raises(error):
        begin(**given)
    assert not BulkRun.objects.exists()


def test_a_run_without_rows_is_done_at_once(begin):
    assert (to_its_end(begin()).state, BulkRun.objects.get().total) == ("done", 0)


def test_worker_processes_advance_bulk_runs():
    assert JOBS.periodic_tasks["bulk runs"] is bulk.step
