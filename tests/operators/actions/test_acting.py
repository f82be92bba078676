"""Rules of all actions: lock the row, check again, record, act once."""

from functools import partial
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from operators.actions.action import GONE
from operators.actions.table import ACTIONS
from operators.audit import OUTDATED, newest_entry
from providers.models import Provider
from tests.cast import accepted, job, now
from tests.operators.actions.steps import is_over, staff_events, unanswered
from tests.running import run
from tests.threads import at_once
from transactions.models import Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ON_TRANSACTIONS = ["poll_now", "create_again", "notify_again", "cancel_tracking", "resolve_review"]


@pytest.fixture
def ready(record):
    """A transaction on which every action is possible."""
    unanswered(record, 3600)
    run(job(record, "notify"))
    Transaction.objects.update(review="overdue")
    return record


@pytest.mark.parametrize("name", ON_TRANSACTIONS)
def test_it_is_on_the_timeline_and_in_the_audit_log(press, ready, name):
    assert press(name, ready.id, "we agreed to") == ""

    [event] = staff_events(ready)
    assert (event["who"], event["why"]) == ("olga", "we agreed to")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id, entry.object_repr) == ("olga", str(ready.id), ready.client_ref)
    assert entry.get_change_message().endswith(": we agreed to")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ON_TRANSACTIONS)
def test_two_people_at_once_have_one_effect(ready, olga, otto, name):
    both = [partial(ACTIONS[name].run, pk=ready.id, by=by, reason="because") for by in (olga, otto)]

    assert sorted(map(bool, at_once(*both))) == [False, True]
    assert len(staff_events(ready)) == LogEntry.objects.count() == 1


def test_a_form_opened_before_another_action_is_refused(press, ready):
    """Also if the first action has been completed: here the notification has been delivered."""
    seen = newest_entry(now(ready))
    assert press("notify_again", ready.id, seen=seen) == ""
    run(Job.objects.get(key__startswith="again:"))

    assert press("notify_again", ready.id, seen=seen) == OUTDATED
    assert len(staff_events(ready)) == 1


def test_an_action_on_a_transaction_outdates_the_forms_of_its_jobs(press, ready):
    failed = is_over(job(ready, "track"), "failed")
    seen = newest_entry(now(ready))
    press("notify_again", ready.id)

    assert press("retry", failed.pk, seen=seen) == OUTDATED


def test_an_action_on_a_job_outdates_the_forms_of_its_transaction(press, ready):
    failed = is_over(job(ready, "track"), "failed")
    seen = newest_entry(now(ready))
    press("retry", failed.pk)
    Job.objects.filter(pk=failed.pk).delete()

    assert press("notify_again", ready.id, seen=seen) == OUTDATED


def test_an_action_on_another_row_does_not_outdate_a_form(press, ready, third, mallory):
    other = accepted(mallory, third, client_ref="other")
    run(job(other, "notify"))
    seen = newest_entry(now(ready))
    press("notify_again", other.id)
    press("pause_provider", third.provider.pk)

    assert press("notify_again", ready.id, seen=seen) == ""


def test_the_newest_entry_is_found_by_one_query_and_an_index(press, ready, third, olga, django_assert_num_queries):
    press("notify_again", ready.id)
    press("pause_provider", third.provider.pk)
    types = list(ContentType.objects.get_for_models(Transaction, Provider).values())
    others = [
        LogEntry(user=olga, content_type=types[n % 2], object_id=f"{n + 2**30}", action_flag=2) for n in range(9999)
    ]
    LogEntry.objects.bulk_create(others)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE django_admin_log")

    for row in (now(ready), third.provider):
        with django_assert_num_queries(1) as queries:
            assert newest_entry(row) > 0
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {queries.captured_queries[0]['sql']}")
            plan = "".join(line for (line,) in cursor.fetchall())
        assert "audit_object" in plan and "Seq Scan on django_admin_log" not in plan


@pytest.mark.parametrize(("name", "key"), [("poll_now", uuid4()), ("retry", 2**40), ("pause_provider", 2**40)])
def test_an_action_on_a_deleted_row_says_that_it_does_not_exist(press, db, name, key):
    assert press(name, key) == GONE


def test_an_action_that_fails_midway_is_not_recorded(press, ready, monkeypatch):
    def broken(**given):
        raise RuntimeError

    monkeypatch.setattr("operators.actions.jobs.reschedule", broken)
    with pytest.raises(RuntimeError):
        press("poll_now", ready.id)

    assert (staff_events(ready), LogEntry.objects.count()) == ([], 0)


@pytest.mark.parametrize("name", ON_TRANSACTIONS)
def test_it_wakes_the_workers_after_the_commit(press, ready, monkeypatch, name):
    woken: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "operators.actions.action.announce",
        lambda wakes: woken.extend((wake.kind, len(connection.savepoint_ids)) for wake in wakes),
    )
    depth = len(connection.savepoint_ids)

    press(name, ready.id)

    expected = {"poll_now": ["track"], "create_again": ["create"], "notify_again": ["notify"]}
    assert woken == [(kind, depth) for kind in expected.get(name, [])]


def test_every_action_that_changes_an_outcome_needs_a_reason():
    assert {name for name, action in ACTIONS.items() if not action.reason} == {
        "poll_now", "notify_again", "resume_provider", "close_breaker_create", "close_breaker_track", "enable_endpoint",
    }  # fmt: skip
