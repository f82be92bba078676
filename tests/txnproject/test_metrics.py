"""`/metrics`, as Prometheus reads it."""

import uuid
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client as Web
from prometheus_client.parser import text_string_to_metric_families

from clients.models import Client
from tests.cast import accepted, due_now, job, make_provider
from tests.running import tell
from tests.threads import at_once
from tests.transactions.api.outages import database_away
from tests.webhooks.senders import send
from tests.webhooks.senders import tell as tell_signed
from transactions import sql
from transactions.models import LostCommits, Transaction
from transactions.snapshot import TransactionSnapshot
from txnproject.metrics import series
from webhooks.incoming.refusals import write_counts
from workers.models import Breaker, Job, WorkerProcess

pytestmark = pytest.mark.django_db


def values(name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by their labels."""
    series.cache_clear()
    answer = Web().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
        if sample.name == name
    }


def set_state(found: Job, **fields: object) -> None:
    Job.objects.filter(pk=found.pk).update(**fields)


def test_it_counts_jobs_that_are_due_running_or_failed(alice, third):
    first, second, _later = (accepted(alice, third) for _ in range(3))
    Job.objects.update(run_at=Now() + timedelta(hours=1))
    due_now(transaction_id=first.id)
    set_state(job(first, "track"), state="running", lease_until=Now() + timedelta(seconds=20))
    set_state(job(second, "notify"), state="failed")
    set_state(job(second, "create"), state="done")

    assert values("relay_jobs") == {
        ("create", "due"): 1, ("notify", "due"): 1, ("track", "running"): 1, ("notify", "failed"): 1,
    }  # fmt: skip


def test_it_shows_the_age_of_the_oldest_due_job(alice, third):
    record = accepted(alice, third)
    Job.objects.update(run_at=Now() + timedelta(hours=1))
    set_state(job(record, "create"), run_at=Now() - timedelta(seconds=90))

    assert values("relay_oldest_due_seconds") == {("create",): pytest.approx(90, abs=10)}


def test_it_counts_reviews(alice, third):
    for review in ("overdue", "overdue", "contradiction", ""):
        Transaction.objects.filter(pk=accepted(alice, third).id).update(review=review)

    assert values("relay_reviews") == {("overdue",): 2, ("contradiction",): 1}


def test_it_counts_refused_webhooks(third):
    for _ in range(3):
        send("/webhooks/third", b"{}")
        send("/webhooks/nobody", b"{}")
    write_counts()

    assert values("relay_webhooks_refused") == {("third", "missing_headers"): 3, ("", "unknown_provider"): 3}


def test_it_counts_workers_that_report_and_what_they_do():
    for seconds_ago, in_flight in ((0, 3), (5, 4), (60, 100)):
        made = WorkerProcess.objects.create(id=uuid.uuid4(), host="h", pid=1, queues="create", in_flight=in_flight)
        WorkerProcess.objects.filter(pk=made.pk).update(beat_at=Now() - timedelta(seconds=seconds_ago))

    assert values("relay_workers") == {(): 2}
    assert values("relay_in_flight") == {(): 7}


@pytest.mark.parametrize(("skews", "worst"), [((0.0, 12.5), 12.5), ((-40.0, 31.0), -40.0), ((), 0.0)])
def test_it_shows_the_worst_clock_of_the_workers(skews, worst):
    for skew in skews:
        WorkerProcess.objects.create(id=uuid.uuid4(), host="h", pid=1, queues="create", clock_skew=skew)

    found = values("relay_clock_skew_seconds")
    assert found["workers",] == worst
    assert abs(found["web",]) < 5


def test_an_idle_service_has_metrics_too():
    assert values("relay_workers") == values("relay_in_flight") == {(): 0}


def aged(record: TransactionSnapshot, **seconds: float) -> None:
    """Move times of a transaction into the past, such as `created_at`."""
    ago = {name: Now() - timedelta(seconds=age) for name, age in seconds.items()}
    Transaction.objects.filter(pk=record.id).update(**ago)


def near(*found: float) -> Any:
    return [pytest.approx(age, abs=10) for age in found]


def test_it_shows_the_age_of_the_oldest_pending_transaction_by_provider(alice, third):
    quiet = make_provider("quiet")
    make_provider("without")
    for of, age in ((third, 300), (third, 4000), (third, 20), (quiet, 7)):
        aged(accepted(alice, of), created_at=age)
    done = accepted(alice, third)
    tell(done, "completed")
    aged(done, created_at=90_000)

    found = values("relay_oldest_pending_seconds")
    assert [found.pop(("third",)), found.pop(("quiet",))] == near(4000, 7)
    assert not found


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_it_shows_the_age_of_the_oldest_unconfirmed_final_status_by_client(alice, mallory, third, status):
    first, second, told, other, pending = (accepted(of, third) for of in (alice, alice, alice, mallory, mallory))
    for record, age in ((first, 60), (second, 900), (told, 5000), (other, 30)):
        tell(record, status)
        aged(record, finalised_at=age)
    Transaction.objects.filter(pk=told.id).update(notified_sequence=2)
    aged(pending, created_at=9000)

    found = values("relay_oldest_undelivered_seconds")
    assert [found.pop((str(of.client.pk),)) for of in (alice, mallory)] == near(900, 30)
    assert not found


def test_without_pending_or_unconfirmed_transactions_there_are_no_ages(alice, third):
    tell(accepted(alice, third), "completed")
    Transaction.objects.update(notified_sequence=2)

    assert values("relay_oldest_pending_seconds") == values("relay_oldest_undelivered_seconds") == {}


@pytest.mark.parametrize(
    ("statement", "index"),
    [(sql.OLDEST_PENDING, "transaction_pending"), (sql.OLDEST_UNDELIVERED, "transaction_undelivered")],
)
def test_an_age_takes_one_index_probe(statement, index):
    with connection.cursor() as cursor:
        for other in ("seqscan", "bitmapscan", "sort"):  # they are cheaper for the few rows of a test
            cursor.execute(f"SET LOCAL enable_{other} = off")
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert f"using {index}" in plan
    assert plan.count("transactions_transaction") == 1 and "Sort" not in plan.split("Nested Loop")[1]


def test_it_shows_which_calls_of_a_provider_all_fail(third):
    ago, lane = Now() - timedelta(minutes=5), third.settings.lane
    Breaker.objects.create(lane=lane, kind="create", failing_since=ago, failed_runs=3, failed_at=Now())
    Breaker.objects.create(lane=lane, kind="track", failing_since=ago, failed_runs=2, failed_at=Now())
    Breaker.objects.create(lane="p999999", kind="track", failing_since=ago, failed_runs=9, failed_at=Now())

    assert values("relay_provider_failing") == {("create", "third"): 1, ("track", "third"): 0}


@pytest.mark.parametrize(("seconds", "failing"), [(59, False), (70, True), (90_000, True)])
def test_it_shows_endpoints_that_have_failed_for_a_minute(alice, mallory, seconds, failing):
    Client.objects.filter(pk=alice.client.pk).update(endpoint_failing_since=Now() - timedelta(seconds=seconds))

    assert values("relay_endpoint_failing") == ({(str(alice.client.pk),): 1} if failing else {})


def test_no_client_or_transaction_is_named(alice, third):
    record = accepted(alice, third)
    tell(record, "completed")
    Client.objects.update(endpoint_failing_since=Now() - timedelta(hours=1))
    accepted(alice, third)
    due_now()

    text = Web().get("/metrics").content.decode()
    assert "alice" not in text and str(record.id) not in text and record.client_ref not in text


@pytest.mark.django_db(transaction=True)
def test_many_requests_at_once_read_the_database_once(third, monkeypatch):
    read = mock.Mock(return_value=b"relay_workers 1")
    monkeypatch.setattr("txnproject.metrics.generate_latest", read)

    answers = at_once(*[lambda: Web().get("/metrics").status_code] * 8)

    assert (set(answers), read.call_count) == ({200}, 1)


@pytest.mark.django_db(transaction=True)
def test_without_the_database_it_answers_503_in_plain_text():
    with database_away():
        answer = Web(raise_request_exception=False).get("/metrics")

    assert (answer.status_code, answer["Content-Type"]) == (503, "text/plain")
    assert b"nonexistent" not in answer.content


def test_it_shows_open_circuit_breakers(third):
    Breaker.objects.create(lane=third.settings.lane, kind="create", opened_at=Now(), probe_at=Now())
    Breaker.objects.create(lane=third.settings.lane, kind="track")

    assert values("relay_breaker_open") == {("create", "third"): 1, ("track", "third"): 0}


def test_it_counts_losses_of_commits_of_the_last_week():
    assert values("relay_commits_lost") == {(): 0}
    for days in (1, 6, 8):
        LostCommits.objects.create(mark={}, noticed_at=Now() - timedelta(days=days))

    assert values("relay_commits_lost") == {(): 2}


def test_it_counts_webhooks_that_match_no_transaction(third):
    assert values("relay_webhooks_unmatched") == {(): 0}
    for number in range(3):
        tell_signed(third, uuid.uuid4(), webhook=f"msg_{number}")

    assert values("relay_webhooks_unmatched") == {(): 3}
