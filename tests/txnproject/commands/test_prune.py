"""`manage.py prune`: deletes old rows that are done, and keeps rows that may still be needed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.models.functions import Now

from tests.cast import accepted, job, now
from tests.management import said
from tests.running import tell
from tests.servers import until
from tests.threads import aside, await_sessions_end
from tests.webhooks import senders
from transactions import pruning
from transactions.models import Event, Transaction
from transactions.snapshot import TransactionSnapshot
from webhooks.models import RefusalCount, Webhook
from webhooks.pruning import WEBHOOKS
from workers import jobs, kinds
from workers.foundation.database import rows
from workers.models import Job, OutboundCall
from workers.outcomes import Done, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def age(days: float, record: TransactionSnapshot) -> None:
    """Move the transaction, its jobs and webhooks this many days into the past."""
    when = Now() - timedelta(days=days)
    Transaction.objects.filter(pk=record.id).update(created_at=when, finalised_at=when)
    Job.objects.filter(transaction_id=record.id).update(created_at=when, updated_at=when)
    Webhook.objects.filter(transaction_id=record.id).update(received_at=when)


def webhook(third, record: TransactionSnapshot | None) -> Webhook:
    id_ = record.id if record else None
    return Webhook.objects.create(provider=third.provider, webhook_id=str(uuid4()), transaction_id=id_, body="{}")


def over(alice, third, days: float = 100) -> TransactionSnapshot:
    """Return a transaction that was completed `days` ago, with three jobs, a call of each, and a webhook."""
    record = accepted(alice, third)
    Transaction.objects.filter(pk=record.id).update(
        status="completed", submission="created", finalised_at=Now(), notified_sequence=1
    )
    mine = Job.objects.filter(transaction_id=record.id)
    mine.update(state="done")
    for found in mine:
        OutboundCall.objects.create(job=found, transaction_id=record.id, attempt=1, started_at=Now())
    webhook(third, record)
    age(days, record)
    return record


def left(record: TransactionSnapshot) -> tuple[int, ...]:
    """Count its jobs, calls and webhooks."""
    return tuple(model.objects.filter(transaction_id=record.id).count() for model in (Job, OutboundCall, Webhook))


def change(record: TransactionSnapshot, **fields) -> None:
    Transaction.objects.filter(pk=record.id).update(**fields)


def test_old_jobs_calls_and_webhooks_are_deleted_and_reported(alice, third):
    old = over(alice, third)

    assert said("prune") == "Deleted 3 jobs with 3 calls, and 1 webhooks; 4 rows checked.\n"
    assert left(old) == (0, 0, 0)


def test_the_transaction_and_its_timeline_stay(alice, third):
    old = over(alice, third)
    said("prune")

    assert Transaction.objects.filter(pk=old.id).exists()
    assert Event.objects.filter(transaction=old.id).count() == 1


def test_younger_rows_stay(alice, third):
    young = over(alice, third, days=89)

    said("prune")
    assert left(young) == (3, 3, 1)
    said("prune", "--older-than", "88")
    assert left(young) == (0, 0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "pending", "finalised_at": None},
        {"finalised_at": Now()},
        {"notified_sequence": 0},
        {"review": "contradiction"},
    ],
    ids=["not final", "final of late", "not confirmed", "flagged"],
)
def test_everything_of_a_transaction_that_still_needs_work_stays(alice, third, fields):
    old = over(alice, third)
    change(old, **fields)

    said("prune")
    assert left(old) == (3, 3, 1)


@pytest.mark.parametrize("fields", [{"state": "waiting"}, {"state": "failed"}, {"updated_at": Now()}], ids=str)
def test_a_job_that_is_open_failed_or_ended_recently_stays_with_its_calls(alice, third, fields):
    old = over(alice, third)
    Job.objects.filter(pk=job(old, "notify").pk).update(**fields)

    said("prune")
    assert left(old) == (1, 1, 0)


def test_a_running_job_stays(alice, third):
    old = over(alice, third)
    Job.objects.filter(pk=job(old, "notify").pk).update(state="running", lease_until=Now())

    said("prune")
    assert left(old) == (1, 1, 0)


def test_old_webhooks_without_a_transaction_are_deleted(third):
    webhook(third, None)
    Webhook.objects.update(received_at=Now() - timedelta(days=91))
    webhook(third, None)

    said("prune")
    assert Webhook.objects.count() == 1


def test_the_counts_of_refused_webhooks_stay(third):
    RefusalCount.objects.create(provider=third.provider, day="2020-01-01", reason="wrong_signature", count=7)

    said("prune")
    assert RefusalCount.objects.count() == 1


def test_a_dry_run_counts_the_same_and_deletes_nothing(alice, third):
    old = over(alice, third)

    would = said("prune", "--dry-run")
    assert left(old) == (3, 3, 1)
    assert would == said("prune").replace("Deleted", "Would delete")


def test_it_continues_batch_by_batch_past_rows_that_stay(alice, third):
    olds = [over(alice, third) for _ in range(4)]
    change(olds[0], review="contradiction")
    change(olds[2], notified_sequence=0)

    assert "; 16 rows checked" in said("prune", "--batch", "2", "--pause", "0")
    assert [left(old)[0] for old in olds] == [3, 0, 3, 0]


def test_it_stops_after_the_first_batch_with_a_younger_row(alice, third):
    over(alice, third)
    for _ in range(3):
        over(alice, third, days=1)

    assert "; 6 rows checked" in said("prune", "--batch", "2")  # jobs: 2, 2 with a young one; webhooks: 2


def test_a_second_run_finds_nothing_left(alice, third):
    over(alice, third)
    said("prune")

    assert said("prune") == "Deleted 0 jobs with 0 calls, and 0 webhooks; 0 rows checked.\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--older-than", "0"), "'0' is not a whole number from 1 to 36500"),
        (("--older-than", "1.5"), "whole number"),
        (("--batch", "0"), "from 1 to 10000"),
        (("--batch", "1000000"), "from 1 to 10000"),
        (("--pause", "-1"), "a number from 0 to 60"),
        (("--pause", "nan"), "a number from 0 to 60"),
    ],
)
def test_it_refuses_numbers_outside_the_limits(words, why):
    with pytest.raises(CommandError, match=why):
        said("prune", *words)


def test_a_webhook_repeated_after_its_row_was_deleted_changes_nothing(alice, third):
    old = over(alice, third)
    said("prune")
    was = now(old)

    senders.tell(third, old.id, "completed")
    senders.tell(third, old.id, "pending", "msg_2")
    assert senders.recorded() == ["late", "late"]
    assert vars(now(old)) | {"_state": None} == vars(was) | {"_state": None}


# --- concurrency


def test_an_interrupted_run_reports_what_it_has_deleted(alice, third, monkeypatch, capsys):
    over(alice, third)

    def interrupt(_):
        raise KeyboardInterrupt

    # Not `time.sleep` itself: threads of other tests may call it.
    monkeypatch.setattr("txnproject.management.commands.prune.time", SimpleNamespace(sleep=interrupt))
    with pytest.raises(SystemExit):
        call_command("prune", "--batch", "2")
    assert "Deleted 2 jobs with 2 calls" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_runs_at_the_same_time_take_turns(alice, third):
    def second_run() -> str:
        printed = said("prune")
        connection.close()
        return printed

    over(alice, third)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            next(pruning.walk(pruning.JOBS, before=pruning.cut_off(90), batch=1))
            second = pool.submit(second_run)
            until(lambda: rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
            assert not second.done()

        assert "Deleted" in second.result()
    await_sessions_end()


@pytest.mark.django_db(transaction=True)
def test_locked_rows_are_skipped_and_deleted_by_the_next_run(alice, third):
    old = over(alice, third)
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=job(old, "create").pk)
        aside(lambda: said("prune"))
        assert left(old)[0] == 1
    aside(lambda: said("prune"))

    assert left(old)[0] == 0
    await_sessions_end()


@pytest.mark.django_db(transaction=True)
def test_claims_settles_and_observations_continue_during_a_batch(alice, third):
    old, fresh = over(alice, third), accepted(alice, third)
    with transaction.atomic():
        for sweep in (pruning.JOBS, WEBHOOKS):
            next(pruning.walk(sweep, before=pruning.cut_off(90), batch=100))
        [found] = aside(lambda: jobs.claim_lanes({third.settings.lane: 1}, kinds.all_kinds()))
        aside(lambda: jobs.settle([(claim, Outcome(Done())) for claim in found.claims]))
        aside(lambda: tell(old, "declined"))

    assert (job(fresh, "create").state, now(old).review) == ("done", "contradiction")
    assert left(old) == (0, 0, 0)
    await_sessions_end()
