"""Endpoints that fail for days are disabled. Clients see this by the API, enable them and get queued notifications."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from clients.models import Client
from tests.cast import accepted, job, make_client, now
from tests.running import again, claim, run, settle
from tests.servers import Answer
from tests.transactions.api.callers import problem
from tests.webhooks.outgoing.steps import change, end
from webhooks.outgoing.deliveries import DeliveryResult as Said
from workers import jobs, kinds
from workers.models import Clock, Job
from workers.outcomes import Again, Call, Done, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

STATE = ["url", "enabled", "disabled_at", "disabled_reason", "failing_since"]


def failing(alice, days: float) -> None:
    """Make the failures of the endpoint begin that long ago."""
    change(alice, endpoint_failing_since=Now() - timedelta(days=days))


def row(alice) -> Client:
    return Client.objects.get(pk=alice.client.pk)


@pytest.fixture
def asks(client, alice):
    """The API as Alice calls it."""

    def ask(method: str, path: str):
        return client.generic(method, path, headers=alice.bearer)

    return ask


# --- when it fails


@pytest.mark.parametrize("answer", [Answer(500), Answer(404), Answer(302), Answer(lost=True)])
def test_the_first_failure_is_recorded(telling, endpoint, alice, answer):
    endpoint.on("POST", answer)
    run(telling)

    assert row(alice).endpoint_failing_since is not None
    assert row(alice).endpoint_disabled_at is None


def test_the_next_failures_keep_its_time(telling, endpoint, alice):
    endpoint.on("POST", Answer(500))
    run(telling)
    first = row(alice).endpoint_failing_since
    run(telling)

    assert row(alice).endpoint_failing_since == first


def test_a_success_ends_it(telling, endpoint, alice):
    endpoint.on("POST", Answer(500), Answer(204))
    run(telling)
    run(telling)

    assert row(alice).endpoint_failing_since is None


def test_after_five_days_without_a_success_it_is_disabled(record, telling, endpoint, alice):
    failing(alice, 5.001)
    endpoint.on("POST", Answer(500))

    assert run(telling).state == "waiting"
    assert row(alice).endpoint_disabled_at is not None
    assert row(alice).endpoint_disabled_why == "every delivery has failed for 120 hours"
    assert now(record).notified_sequence == 0


@pytest.mark.parametrize(("hours", "disabled"), [(1, False), (119, False), (121, True)])
def test_a_failure_before_a_jump_of_the_clock_counts_from_the_jump(record, telling, endpoint, alice, hours, disabled):
    endpoint.on("POST", Answer(500))
    failing(alice, 30)
    Clock.objects.create(jumped_at=Now() - timedelta(hours=hours))
    run(telling)

    assert (row(alice).endpoint_disabled_at is not None) is disabled


def test_before_five_days_it_is_not_disabled(telling, endpoint, alice):
    failing(alice, 4.999)
    endpoint.on("POST", Answer(500))
    run(telling)

    assert row(alice).endpoint_disabled_at is None


def test_a_success_after_five_days_keeps_it_enabled(telling, endpoint, alice):
    failing(alice, 30)
    run(telling)

    assert (row(alice).endpoint_disabled_at, row(alice).endpoint_failing_since) == (None, None)


def test_the_time_is_a_setting(telling, endpoint, alice, settings):
    settings.ENDPOINT_DISABLED_AFTER = 3600.0
    failing(alice, 0.05)
    endpoint.on("POST", Answer(500))
    run(telling)

    assert row(alice).endpoint_disabled_why == "every delivery has failed for 1 hours"


def test_another_clients_endpoint_is_left_alone(telling, endpoint, alice, third):
    bob = make_client("bob", third.provider)
    Client.objects.update(endpoint_failing_since=Now() - timedelta(days=9))
    endpoint.on("POST", Answer(500))
    run(telling)

    assert Client.objects.get(pk=bob.client.pk).endpoint_disabled_at is None


def test_a_run_without_a_call_does_not_count_for_the_endpoint(telling, alice):
    settle(claim(telling), Outcome(Again(5.0)))
    settle(claim(telling), Outcome(Done()))

    assert row(alice).endpoint_failing_since is None


def test_one_success_in_a_batch_is_a_success(alice, third, endpoint):
    claims = [claim(job(accepted(alice, third), "notify")) for _ in range(2)]
    call = Call("POST", endpoint.url, claims[0].claimed_at, 1, 500)
    failing(alice, 9)
    outcomes = [Outcome(Done(), Said(confirmed=1), calls=(call,)), Outcome(Again(5.0), calls=(call,))]
    jobs.settle(list(zip(claims, outcomes, strict=True)))

    assert (row(alice).endpoint_disabled_at, row(alice).endpoint_failing_since) == (None, None)


@pytest.mark.parametrize("status", [204, 500])
def test_a_delivery_with_the_same_result_as_the_last_does_not_write_the_client(record, telling, endpoint, status):
    endpoint.on("POST", Answer(status))
    run(telling)
    last, before = end(record), version()

    run(last)

    assert version() == before


def version():
    """Changes when the client's row is written or locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text, xmax::text FROM clients_client")
        return cursor.fetchall()


# --- what the client sees and does


def test_a_client_sees_its_endpoint(asks, alice):
    answer = asks("GET", "/v1/endpoint")

    assert answer.status_code == 200
    assert answer.json() == dict(zip(STATE, [alice.client.callback_url, True, None, None, None], strict=True))


def test_a_client_sees_that_it_fails_and_that_it_is_disabled(asks, telling, endpoint, alice):
    failing(alice, 6)
    endpoint.on("POST", Answer(500))
    run(telling)

    shown = asks("GET", "/v1/endpoint").json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "every delivery has failed for 120 hours")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", shown["failing_since"])
    assert shown["failing_since"] < shown["disabled_at"]


def test_enabling_it_sends_queued_notifications_at_once(asks, telling, endpoint, alice):
    failing(alice, 6)
    Job.objects.filter(pk=telling.pk).update(tries=6)
    endpoint.on("POST", Answer(500), Answer(204))
    assert run(telling).run_at > telling.run_at + timedelta(hours=5)

    answer = asks("POST", "/v1/endpoint/enable")

    assert (answer.status_code, answer.json()["enabled"], answer.json()["failing_since"]) == (200, True, None)
    assert again(telling).tries == 0
    [lane] = jobs.claim_lanes({alice.settings.lane: 9}, [kinds.kind_of("notify")])
    assert [one.id for one in lane.claims] == [telling.pk]


def test_enabling_it_does_not_hasten_notifications_without_an_attempt(asks, telling, alice):
    Job.objects.filter(pk=telling.pk).update(run_at=Now() + timedelta(seconds=60))
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="it answered 410 Gone")
    asks("POST", "/v1/endpoint/enable")

    assert again(telling).run_at > telling.run_at + timedelta(seconds=30)


def test_enabling_twice_does_no_more_than_once(asks, telling, endpoint, alice):
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="it answered 410 Gone")
    first = asks("POST", "/v1/endpoint/enable").json()
    endpoint.on("POST", Answer(500))
    run(telling)
    waits = run(telling).run_at

    second = asks("POST", "/v1/endpoint/enable")

    assert (second.status_code, second.json()["enabled"]) == (200, first["enabled"])
    assert again(telling).run_at == waits


def test_an_endpoint_that_fails_again_gets_its_five_days_again(asks, telling, endpoint, alice):
    failing(alice, 6)
    endpoint.on("POST", Answer(500))
    run(telling)
    asks("POST", "/v1/endpoint/enable")
    run(telling)

    assert row(alice).endpoint_disabled_at is None


def test_only_staff_enable_an_endpoint_that_staff_disabled(asks, alice):
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="by staff")

    problem(asks("POST", "/v1/endpoint/enable"), 409, "endpoint-disabled-by-staff")
    assert asks("GET", "/v1/endpoint").json()["disabled_reason"] == "by staff"


def test_a_client_enables_its_own_endpoint_only(client, alice, third):
    mallory = make_client("mallory", third.provider)
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="it answered 410 Gone")

    answer = client.post("/v1/endpoint/enable", headers=mallory.bearer)

    assert answer.json()["url"] == mallory.client.callback_url
    assert row(alice).endpoint_disabled_at is not None


def test_many_queued_notifications_are_hastened_in_short_transactions(asks, alice, third, monkeypatch):
    monkeypatch.setattr("clients.endpoints.BATCH", 2)
    for _ in range(5):
        accepted(alice, third)
    Job.objects.filter(kind="notify").update(claim_count=1, run_at=Now() + timedelta(hours=1))
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="it answered 410 Gone")

    with CaptureQueriesContext(connection) as queries:
        asks("POST", "/v1/endpoint/enable")

    assert not Job.objects.filter(kind="notify", run_at__gt=Now()).exists()
    skipping = [query["sql"] for query in queries if "SKIP LOCKED" in query["sql"]]
    assert sum("workers_job" in statement for statement in skipping) == 4


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/endpoint"), ("POST", "/v1/endpoint/enable")])
def test_it_takes_a_key(client, db, method, path):
    problem(client.generic(method, path), 401, "not-authenticated")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/endpoint"), ("GET", "/v1/endpoint/enable")])
def test_other_methods_are_not_allowed(asks, method, path):
    problem(asks(method, path), 405, "method-not-allowed")
