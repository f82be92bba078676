"""Notifications: what a client's endpoint is sent, and what becomes of its answer."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db import connection
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from tests.cast import Third, accepted, job, make_client, make_provider, now
from tests.running import again, claim, expire, run, settle, tries, wait_of
from tests.servers import Answer, Server, serving
from transactions.api.serializers import TransactionBody
from transactions.config import clear_caches
from transactions.encryption import SecretUnreadable
from transactions.models import CallbackSecret, Client, Transaction
from transactions.news import News, apply
from transactions.services import tell_again
from transactions.signing import new_secret
from transactions.status import Source, Status
from webhooks.outgoing.notify import Answer as Said
from webhooks.outgoing.notify import notify
from workers import jobs, registry
from workers.models import Job
from workers.outbound import Http
from workers.registry import Again, Done, Failed, Outcome

pytestmark = pytest.mark.django_db

SCHEDULE = [0, 5, 300, 1800, 7200, 18000, 36000, 36000]


@pytest.fixture
def endpoint():
    """The client's endpoint; it confirms unless told otherwise."""
    with serving() as server:
        for method in ("POST", "PUT", "PATCH"):
            server.on(method, Answer(204))
        yield server


@pytest.fixture
def alice(db, endpoint: Server):
    return make_client("alice", make_provider().provider, callback_url=endpoint.url + "/callback")


@pytest.fixture
def third(alice):
    return Third(alice.client.default_provider, "")


@pytest.fixture
def record(alice, third):
    return accepted(alice, third, reference="March", metadata={"a": "b"})


@pytest.fixture
def telling(record):
    """The job that tells of `pending`."""
    return job(record, "notify")


def end(record, status="completed", **fields):
    """Its final status arrives; the job that tells of it."""
    apply([(record.id, News(Source.WEBHOOK, status=Status(status), **fields))])
    return job(record, "notify", "seq:2")


def change(alice, **fields):
    Client.objects.filter(pk=alice.client.pk).update(**fields)
    clear_caches()


# --- what is sent


def test_it_posts_to_the_callback_url(telling, endpoint):
    run(telling)

    [asked] = endpoint.asked
    assert (asked.method, asked.path) == ("POST", "/callback")
    assert asked.headers["content-type"] == "application/json"


def test_the_body_is_the_type_the_time_and_the_transaction(telling, endpoint, record):
    run(telling)

    body = endpoint.asked[0].json
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "transaction.pending"
    assert datetime.now(UTC) - datetime.fromisoformat(body["timestamp"]) < timedelta(seconds=10)
    assert body["data"] == record.as_json("third")
    assert (body["data"]["id"], body["data"]["metadata"]) == (record.client_ref, {"a": "b"})


def test_its_transaction_has_the_fields_of_the_api(telling, endpoint):
    run(telling)

    assert set(endpoint.asked[0].json["data"]) == set(TransactionBody().fields)


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_final_status_is_told_with_its_sequence_and_failure(record, endpoint, status):
    failure = {"failure_code": "refused", "failure_detail": "no"} if status == "failed" else {}
    run(end(record, status, **failure))

    body = endpoint.asked[0].json
    assert body["type"] == f"transaction.{status}"
    assert (body["data"]["status"], body["data"]["sequence"]) == (status, 2)
    assert body["data"]["failure"] == ({"code": "refused", "detail": "no"} if failure else None)
    assert body["data"]["finalised_at"] is not None


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_client_may_have_another_method(telling, endpoint, alice, method):
    change(alice, callback_method=method)
    run(telling)

    assert endpoint.methods == [method]


def test_a_client_may_have_a_body_of_its_own(record, endpoint, alice):
    names = ("id", "status", "sequence", "amount", "currency", "reference", "provider_transaction_id")
    change(alice, callback_body={"order": {name: f"{{{name}}}" for name in names}, "text": "{id} is {status}", "v": 1})
    run(end(record))

    assert endpoint.asked[0].json == {
        "order": {
            "id": record.client_ref,
            "status": "completed",
            "sequence": 2,
            "amount": 1250,
            "currency": "EUR",
            "reference": "March",
            "provider_transaction_id": str(record.id),
        },
        "text": f"{record.client_ref} is completed",
        "v": 1,
    }


def test_a_body_of_its_own_is_signed_as_well(telling, endpoint, alice):
    change(alice, callback_body={"id": "{id}"})
    run(telling)

    [asked] = endpoint.asked
    assert Webhook(alice.secret).verify(asked.body, dict(asked.headers)) == asked.json


# --- signatures


def test_the_official_library_verifies_it(telling, endpoint, alice):
    run(telling)

    [asked] = endpoint.asked
    assert Webhook(alice.secret).verify(asked.body, dict(asked.headers)) == asked.json


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_the_signature_covers_id_time_and_body(telling, endpoint, alice, changed):
    run(telling)
    [asked] = endpoint.asked
    headers, body = dict(asked.headers), asked.body
    if changed == "body":
        body += b" "
    else:
        headers[changed] = headers[changed] + "x" if changed == "webhook-id" else str(int(headers[changed]) - 1)

    with pytest.raises(WebhookVerificationError):
        Webhook(alice.secret).verify(body, headers)


def test_a_foreign_secret_does_not_verify_it(telling, endpoint):
    run(telling)

    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(endpoint.asked[0].body, dict(endpoint.asked[0].headers))


def secret_of(alice, **fields):
    secret = new_secret()
    CallbackSecret.objects.create(client=alice.client, secret=secret, **fields)
    clear_caches()
    return secret


def test_two_live_secrets_sign_side_by_side(telling, endpoint, alice):
    new = secret_of(alice, expires_at=Now() + timedelta(days=1))
    run(telling)

    [asked] = endpoint.asked
    assert len(asked.headers["webhook-signature"].split(" ")) == 2
    for secret in (alice.secret, new):
        Webhook(secret).verify(asked.body, dict(asked.headers))


def test_an_expired_secret_signs_no_more(telling, endpoint, alice):
    secret_of(alice, expires_at=Now() - timedelta(seconds=1))
    run(telling)

    assert len(endpoint.asked[0].headers["webhook-signature"].split(" ")) == 1


def test_its_id_stays_over_the_retries_and_its_time_does_not(telling, endpoint):
    endpoint.on("POST", Answer(500))
    for _ in range(3):
        run(telling)

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 1
    assert len(endpoint.asked) == 3


def test_each_notification_has_an_id_of_its_own(alice, third, endpoint):
    for record in (accepted(alice, third), accepted(alice, third)):
        run(job(record, "notify"))
        run(end(record))
        tell_again(record)
        run(Job.objects.get(transaction_id=record.id, key__startswith="again:"))

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 6


# --- the answer


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_confirms(telling, endpoint, status):
    endpoint.on("POST", Answer(status))

    assert run(telling).state == "done"
    assert tries(telling) == [("POST", status)]


def test_what_is_confirmed_is_kept_apart_from_what_is_final(record, telling):
    run(telling)
    first = now(record)
    run(end(record))
    second = now(record)

    assert (first.informed_sequence, first.status) == (1, "pending")
    assert (second.informed_sequence, second.status) == (2, "completed")
    assert first.informed_at and second.informed_at
    assert second.informed_at > first.informed_at > record.created_at


def test_a_late_confirmation_of_pending_does_not_undo_that_of_the_final_status(record, telling):
    claimed = claim(telling)
    end(record)
    Transaction.objects.filter(pk=record.id).update(informed_sequence=2, informed_at=Now())
    before = now(record).informed_at

    settle(claimed, Outcome(Done(), Said(confirmed=1)))

    assert (now(record).informed_sequence, now(record).informed_at) == (2, before)


def test_several_confirmations_of_one_transaction_in_one_batch(record, telling, alice):
    first = claim(telling)
    end(record)
    Job.objects.filter(pk=first.id).update(kind="other")
    second = claim(job(record, "notify", "seq:2"))
    Job.objects.filter(pk=first.id).update(kind="notify", state="waiting", lease_until=None)

    registry.kind("notify").record(
        [(second, Outcome(Done(), Said(confirmed=2))), (first, Outcome(Done(), Said(confirmed=1)))]
    )

    assert now(record).informed_sequence == 2


def test_a_final_status_is_final_before_the_client_knows_it(record):
    end(record)

    assert (now(record).status, now(record).informed_sequence) == ("completed", 0)


def test_410_disables_the_endpoint_and_fails_the_job(record, telling, endpoint, alice):
    endpoint.on("POST", Answer(410))

    assert run(telling).state == "failed"
    client = Client.objects.get(pk=alice.client.pk)
    assert client.endpoint_disabled_at is not None
    assert "410" in client.endpoint_disabled_why
    assert now(record).informed_sequence == 0


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
def test_429_and_503_say_when(telling, endpoint, status, asked, wait):
    endpoint.on("POST", Answer(status, headers={"Retry-After": asked}))

    found = run(telling)

    assert found.state == "waiting"
    assert wait_of(found) == pytest.approx(wait, abs=0.1)


def test_503_may_give_a_date(telling, endpoint):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    endpoint.on("POST", Answer(503, headers={"Retry-After": date}))

    assert wait_of(run(telling)) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("status", [429, 503])
def test_without_a_time_they_are_as_any_other_answer(telling, endpoint, status):
    Job.objects.filter(pk=telling.pk).update(step=2)
    endpoint.on("POST", Answer(status))

    assert wait_of(run(telling)) == pytest.approx(300, rel=0.21)


def test_another_answers_retry_after_is_not_asked_for(telling, endpoint):
    Job.objects.filter(pk=telling.pk).update(step=2)
    endpoint.on("POST", Answer(500, headers={"Retry-After": "7"}))

    assert wait_of(run(telling)) == pytest.approx(300, rel=0.21)


@pytest.mark.parametrize(
    "answer",
    [*(Answer(status) for status in (300, 301, 304, 400, 401, 404, 500, 502)), Answer(lost=True)],
)
def test_any_other_answer_is_tried_again(record, telling, endpoint, answer):
    endpoint.on("POST", answer)

    found = run(telling)

    assert (found.state, found.step) == ("waiting", 1)
    assert now(record).informed_sequence == 0


def test_redirects_are_not_followed(telling, endpoint):
    endpoint.on("POST", Answer(307, headers={"Location": endpoint.url + "/elsewhere"}))

    assert run(telling).state == "waiting"
    assert [asked.path for asked in endpoint.asked] == ["/callback"]


def test_an_endpoint_that_cannot_be_reached_is_tried_again(telling, alice):
    change(alice, callback_url="http://127.0.0.1:1/callback")

    assert (run(telling).state, again(telling).step) == ("waiting", 1)


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
    Job.objects.filter(kind="notify").update(step=4)

    assert len({round(wait_of(run(one))) for one in telling}) > 1


def test_being_asked_to_wait_counts_as_a_try(telling, endpoint):
    endpoint.on("POST", Answer(503, headers={"Retry-After": "0"}))
    for _ in range(9):
        found = run(telling)

    assert found.state == "failed"


def test_a_notification_that_is_given_up_changes_nothing_of_the_transaction(record, endpoint):
    endpoint.on("POST", Answer(500))
    told = end(record)
    Job.objects.filter(pk=told.pk).update(step=8)

    assert run(told).state == "failed"
    assert (now(record).status, now(record).review, now(record).informed_sequence) == ("completed", "", 0)


def test_a_lost_run_is_told_again_under_the_same_id(telling, endpoint):
    claimed = claim(telling)
    perform(claimed)
    expire(again(telling))
    jobs.recover()

    run(telling)

    assert len({asked.headers["webhook-id"] for asked in endpoint.asked}) == 1
    assert len(endpoint.asked) == 2


# --- never backwards


def test_pending_is_told_200_ms_after_acceptance(record, telling):
    assert (telling.run_at - record.created_at).total_seconds() == pytest.approx(0.2)


def test_a_final_status_before_that_is_all_that_is_told(record, telling, endpoint):
    end(record)

    assert again(telling).state == "cancelled"
    assert run(telling).state == "cancelled"
    assert endpoint.asked == []


def test_a_pending_that_has_not_begun_when_the_final_status_comes_is_not_sent(record, telling, endpoint):
    claimed = claim(telling)
    end(record)

    assert jobs.load([claimed]) == {}


def test_a_pending_that_is_to_be_tried_again_is_not_once_there_is_a_final_status(record, telling, endpoint):
    claimed = claim(telling)
    end(record)
    settle(claimed, Outcome(Again(0.0, 1)))

    assert run(telling).state == "done"
    assert endpoint.asked == []


def test_the_final_status_waits_for_the_pending_that_is_under_way(record, telling, endpoint, alice):
    claimed = claim(telling)
    told = end(record)
    kind, lane = registry.kind("notify"), alice.settings.lane
    assert [one.claims for one in jobs.claim_lanes({lane: 9}, [kind])] == [()]
    assert jobs.claim_one(told) is None

    wakes = settle(claimed, Outcome(Done(), Said(confirmed=1)))

    assert registry.Wake("notify", lane) in wakes
    [found] = jobs.claim_lanes({lane: 9}, [kind])
    assert [one.key for one in found.claims] == ["seq:2"]


def test_a_slow_pending_and_the_final_status_arrive_in_their_order(record, telling, endpoint):
    claimed = claim(telling)
    outcome = perform(claimed)
    told = end(record)
    settle(claimed, outcome)
    run(told)

    assert [asked.json["data"]["sequence"] for asked in endpoint.asked] == [1, 2]


def test_news_that_is_asked_for_again_is_the_transaction_as_it_is_then(record, telling, endpoint, alice):
    run(telling)
    tell_again(record)
    waiting = Job.objects.get(kind="notify", state="waiting")
    claimed = claim(waiting)
    perform(claimed)
    settle(claimed, Outcome(Again(0.0, 1)))
    told = end(record)

    run(waiting)
    run(told)

    assert [asked.json["data"]["status"] for asked in endpoint.asked][-1] == "completed"
    assert "pending" not in [asked.json["data"]["status"] for asked in endpoint.asked[2:]]


def test_a_review_or_a_contradiction_is_not_told(record, endpoint):
    run(end(record))
    apply([(record.id, News(Source.POLL, status=Status.DECLINED))])

    assert Job.objects.filter(kind="notify", state="waiting").count() == 0


# --- disabled endpoints


def test_a_disabled_endpoint_is_told_later(record, alice):
    due = end(record)
    change(alice, endpoint_disabled_at=Now())
    kind = registry.kind("notify")

    assert jobs.claim_lanes({alice.settings.lane: 9}, [kind]) == []
    change(alice, endpoint_disabled_at=None)
    [found] = jobs.claim_lanes({alice.settings.lane: 9}, [kind])
    assert [one.id for one in found.claims] == [due.pk]


def test_a_secret_that_no_key_opens_is_not_a_reason_to_send_unsigned(telling, endpoint, alice):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE transactions_callbacksecret SET secret = 'unreadable'")
    clear_caches()
    with contextlib.suppress(SecretUnreadable):
        run(telling)

    assert endpoint.asked == []


def perform(claimed):
    """Run the handler alone."""
    notice = jobs.load([claimed])[claimed.id]

    async def go():
        async with Http(["127.0.0.1"]) as http:
            return await notify(notice, http)

    return asyncio.run(go())


def test_what_it_sends_is_json(telling, endpoint):
    run(telling)

    assert json.loads(endpoint.asked[0].body)
