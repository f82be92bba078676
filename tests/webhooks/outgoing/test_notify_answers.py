"""Notifications: effects of the endpoint's answer."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db.models.functions import Now

from clients.models import Client
from tests.cast import accepted, job, make_client, now
from tests.running import again, claim, expire, perform, run, settle, tries, wait_of
from tests.servers import Answer
from tests.webhooks.outgoing.steps import change, end
from transactions.models import Transaction
from webhooks.outgoing.deliveries import DeliveryResult as Said
from workers import jobs, kinds
from workers.models import Job
from workers.outcomes import Done, Failed, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SCHEDULE = [0, 5, 300, 1800, 7200, 18000, 36000, 36000]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_confirms(telling, endpoint, status):
    endpoint.on("POST", Answer(status))

    assert run(telling).state == "done"
    assert tries(telling) == [("POST", status)]


def test_confirmations_are_stored_separately_from_the_final_status(record, telling):
    run(telling)
    first = now(record)
    run(end(record))
    second = now(record)

    assert (first.notified_sequence, first.status) == (1, "pending")
    assert (second.notified_sequence, second.status) == (2, "completed")
    assert first.notified_at and second.notified_at
    assert second.notified_at > first.notified_at > record.created_at


def test_a_late_confirmation_of_pending_does_not_undo_that_of_the_final_status(record, telling):
    claimed = claim(telling)
    end(record)
    Transaction.objects.filter(pk=record.id).update(notified_sequence=2, notified_at=Now())
    before = now(record).notified_at

    settle(claimed, Outcome(Done(), Said(confirmed=1)))

    assert (now(record).notified_sequence, now(record).notified_at) == (2, before)


def test_several_confirmations_of_one_transaction_in_one_batch(record, telling, alice):
    first = claim(telling)
    end(record)
    Job.objects.filter(pk=first.id).update(kind="track")
    second = claim(job(record, "notify", "seq:2"))
    Job.objects.filter(pk=first.id).update(kind="notify", state="waiting", lease_until=None)

    kinds.kind_of("notify").save(
        [(second, Outcome(Done(), Said(confirmed=2))), (first, Outcome(Done(), Said(confirmed=1)))]
    )

    assert now(record).notified_sequence == 2


def test_a_final_status_is_final_before_the_client_knows_it(record):
    end(record)

    assert (now(record).status, now(record).notified_sequence) == ("completed", 0)


def test_410_disables_the_endpoint_and_queues_its_notifications(record, telling, endpoint, alice):
    endpoint.on("POST", Answer(410))

    assert run(telling).state == "waiting"
    client = Client.objects.get(pk=alice.client.pk)
    assert client.endpoint_disabled_at is not None
    assert "410" in client.endpoint_disabled_why
    assert now(record).notified_sequence == 0


def test_an_endpoint_that_is_gone_is_not_called_again_at_once(telling, endpoint, alice):
    """Processes may see for up to two seconds later that it is disabled; they must not send many calls until then."""
    endpoint.on("POST", Answer(410))
    run(telling)

    assert [one.claims for one in jobs.claim_lanes({alice.settings.lane: 9}, [kinds.kind_of("notify")])] in ([], [()])


def test_an_enabled_endpoint_gets_the_queued_notifications(telling, endpoint, alice):
    endpoint.on("POST", Answer(410), Answer(204))
    run(telling)
    change(alice, endpoint_disabled_at=None)

    assert run(telling).state == "done"


def test_410_leaves_another_clients_endpoint_alone(telling, endpoint, third):
    bob = make_client("bob", third.provider)
    endpoint.on("POST", Answer(410))
    run(telling)

    assert Client.objects.get(pk=bob.client.pk).endpoint_disabled_at is None


def test_410_does_not_overwrite_why_it_was_disabled(telling, endpoint, alice):
    claimed = claim(telling)
    change(alice, endpoint_disabled_at=Now(), endpoint_disabled_why="by staff")
    settle(claimed, Outcome(Failed("410"), Said(gone=True)))

    assert Client.objects.get(pk=alice.client.pk).endpoint_disabled_why == "by staff"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "wait"), [("70", 70), ("0", 0), ("999999", 36000)])
def test_retry_after_of_429_and_503_is_honoured(telling, endpoint, status, asked, wait):
    endpoint.on("POST", Answer(status, headers={"Retry-After": asked}))

    found = run(telling)

    assert found.state == "waiting"
    assert wait_of(found) == pytest.approx(wait, abs=0.1)


def test_retry_after_of_503_can_be_a_date(telling, endpoint):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    endpoint.on("POST", Answer(503, headers={"Retry-After": date}))

    assert wait_of(run(telling)) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("status", [429, 503])
def test_429_and_503_without_retry_after_are_retried_by_the_schedule(telling, endpoint, status):
    Job.objects.filter(pk=telling.pk).update(tries=2)
    endpoint.on("POST", Answer(status))

    assert wait_of(run(telling)) == pytest.approx(300, rel=0.21)


def test_retry_after_of_other_answers_is_ignored(telling, endpoint):
    Job.objects.filter(pk=telling.pk).update(tries=2)
    endpoint.on("POST", Answer(500, headers={"Retry-After": "7"}))

    assert wait_of(run(telling)) == pytest.approx(300, rel=0.21)


@pytest.mark.parametrize(
    "answer",
    [*(Answer(status) for status in (300, 301, 304, 400, 401, 404, 500, 502)), Answer(lost=True)],
)
def test_any_other_answer_is_retried(record, telling, endpoint, answer):
    endpoint.on("POST", answer)

    found = run(telling)

    assert (found.state, found.tries) == ("waiting", 1)
    assert now(record).notified_sequence == 0


def test_redirects_are_not_followed(telling, endpoint):
    endpoint.on("POST", Answer(307, headers={"Location": endpoint.url + "/elsewhere"}))

    assert run(telling).state == "waiting"
    assert [asked.path for asked in endpoint.asked] == ["/callback"]


def test_an_unreachable_endpoint_is_retried(telling, alice):
    change(alice, callback_url="http://127.0.0.1:1/callback")

    assert (run(telling).state, again(telling).tries) == ("waiting", 1)


def test_the_schedule_is_that_of_standard_webhooks_and_ends(telling, endpoint):
    endpoint.on("POST", Answer(500))

    waits = [wait_of(run(telling)) for _ in SCHEDULE]

    for wait, planned in zip(waits, SCHEDULE, strict=True):
        assert planned * 0.79 - 0.01 <= wait <= planned * 1.21 + 0.01
    assert run(telling).state == "failed"
    assert "9 tries" in again(telling).last_error
    assert len(endpoint.asked) == 9


def test_the_schedule_is_jittered(alice, third, endpoint):
    endpoint.on("POST", Answer(500))
    telling = [job(accepted(alice, third), "notify") for _ in range(5)]
    Job.objects.filter(kind="notify").update(tries=4)

    assert len({round(wait_of(run(one))) for one in telling}) > 1


def test_a_requested_delay_counts_as_a_retry(telling, endpoint):
    endpoint.on("POST", Answer(503, headers={"Retry-After": "0"}))
    for _ in range(9):
        found = run(telling)

    assert found.state == "failed"


def test_a_failed_notification_flags_the_transaction_and_keeps_its_status(record, endpoint):
    endpoint.on("POST", Answer(500))
    told = end(record)
    Job.objects.filter(pk=told.pk).update(tries=8)

    assert run(told).state == "failed"
    assert (now(record).status, now(record).review, now(record).notified_sequence) == ("completed", "given_up", 0)


def test_a_lost_run_is_repeated_with_the_same_id(telling, endpoint):
    claimed = claim(telling)
    perform(claimed)
    expire(again(telling))
    jobs.recover()

    run(telling)

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 1
    assert len(endpoint.asked) == 2
