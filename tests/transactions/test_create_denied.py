"""The handler `create`, if nothing was created: not sent, refused, credentials refused, too many requests."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db.models.functions import Now

from providers.models import Provider
from tests.cast import accepted, job, now
from tests.running import change, facts, run, wait_of
from tests.servers import Answer, silent
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


# --- not sent


def test_a_refused_connection_is_not_sent_and_uses_no_retry(record, creating, far, third):
    change(third, base_url="http://127.0.0.1:1")

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "")
    assert (found.state, found.tries) == ("waiting", 0)
    assert now(record).create_began_at is None


def test_a_name_that_does_not_resolve_is_not_sent(record, creating, third, direct):
    change(third, base_url="https://nowhere.invalid")

    assert run(creating).tries == 0
    assert facts(record) == ("pending", "unsent", "")


def test_a_failed_tls_handshake_is_not_sent(record, creating, far, third, direct):
    change(third, base_url=far.url.replace("http:", "https:"))

    assert run(creating).tries == 0
    assert facts(record) == ("pending", "unsent", "")
    assert far.asked == []


@pytest.mark.parametrize("create_timeout", [0.3, 35])
def test_a_connect_timeout_is_not_sent(record, creating, third, direct, monkeypatch, create_timeout):
    monkeypatch.setattr("workers.outbound.CONNECT_TIMEOUT", 0.4)
    with silent() as port:
        change(third, base_url=f"http://127.0.0.1:{port}", create_timeout=create_timeout)
        found = run(creating)

    assert found.tries == 0
    assert facts(record) == ("pending", "unsent", "")


def test_a_request_that_was_not_sent_is_repeated_with_growing_delays(creating, third, direct):
    change(third, base_url="http://127.0.0.1:1")
    waits = [wait_of(run(creating)) for _ in range(9)]

    for number, wait in enumerate(waits):
        assert wait == pytest.approx(min(60, 0.5 * 2**number), rel=0.25)


def test_delays_are_jittered(alice, third, direct):
    change(third, base_url="http://127.0.0.1:1")
    waits = {round(wait_of(run(job(accepted(alice, third), "create"))), 3) for _ in range(6)}

    assert len(waits) > 1


def test_a_request_that_was_not_sent_keeps_the_start_of_an_unknown_create(record, creating, far, third):
    far.on("POST", Answer(504))
    run(creating)
    change(third, base_url="http://127.0.0.1:1")
    run(creating)
    change(third, base_url=far.url)

    run(creating)

    assert far.methods == ["GET", "POST", "GET"]


# --- refused


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"detail": "no such account"}, "no such account"),
        ({"message": "over the limit"}, "over the limit"),
        ({"error": {"message": "closed"}}, "closed"),
        ({"title": " bad  "}, "bad"),
        ({"detail": ""}, "the provider answered {status}"),
        (["closed", "x"], "closed"),
        ([1], "the provider answered {status}"),
    ],
)
def test_a_refusal_fails_the_transaction_with_the_providers_reason(record, creating, far, status, body, reason):
    far.on("POST", Answer(status, body))

    assert run(creating).state == "done"
    assert facts(record) == ("failed", "refused", "")
    row = now(record)
    assert (row.failure_code, row.failure_detail) == ("refused", reason.format(status=status))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b'{"detail": "a\\u0000b"}',
        b'{"detail": "a\\ud800b"}',
        b'{"detail": "' + b"x" * 20_000 + b'"}',
        b"[" * 9000,
        b'{"detail": 1' + b"0" * 5000 + b"}",
    ],
)
def test_a_refusal_with_an_unexpected_body_is_a_refusal(record, creating, far, body):
    far.on("POST", Answer(422, body=body))

    run(creating)

    assert facts(record) == ("failed", "refused", "")


def test_an_unmapped_status_is_flagged_and_counts_as_created(record, creating, far):
    far.on("POST", Answer(201, body=b'{"status": "a\\ud800b"}'))

    assert run(creating).state == "done"
    assert facts(record) == ("pending", "created", "unmapped")


def test_a_final_status_cancels_waiting_jobs_and_is_notified_once(record, creating, far):
    far.on("POST", Answer(422))

    run(creating)

    assert job(record, "track").state == "cancelled"
    assert job(record, "notify").state == "cancelled"
    assert job(record, "notify", "seq:2").state == "waiting"
    assert Job.objects.filter(transaction_id=record.id, state="waiting").count() == 1


# --- our credentials, and too many calls


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_credentials_pause_the_provider_and_fail_no_transaction(record, creating, far, third, method):
    far.on(method, Answer(401))

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "credentials")
    assert (found.state, found.tries) == ("waiting", 0)
    paused = Provider.objects.get(pk=third.provider.pk)
    assert paused.paused and "401" in paused.paused_why


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_denied_access_flags_the_transaction_and_pauses_nothing(record, creating, far, third, method):
    far.on(method, Answer(403, {"message": "not yours"}))
    run(creating)

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "denied")
    assert "not yours" in now(record).review_why
    assert (found.state, found.tries) == ("waiting", 0)
    assert not Provider.objects.get(pk=third.provider.pk).paused


def test_denied_access_to_two_transactions_within_a_minute_pauses_the_provider(alice, far, third):
    far.on("POST", Answer(403))
    for _ in range(2):
        run(job(accepted(alice, third), "create"))

    paused = Provider.objects.get(pk=third.provider.pk)
    assert paused.paused and "403" in paused.paused_why


def test_denied_access_to_two_transactions_minutes_apart_pauses_nothing(alice, far, third):
    far.on("POST", Answer(403))
    run(job(accepted(alice, third), "create"))
    Provider.objects.update(denied_at=Now() - timedelta(seconds=61))

    run(job(accepted(alice, third), "create"))

    assert not Provider.objects.get(pk=third.provider.pk).paused


def test_the_next_usable_answer_removes_the_flag_of_denied_access(record, creating, far):
    far.on("POST", Answer(403), Answer(201, {"status": "pending"}))
    run(creating)

    run(creating)

    assert facts(record) == ("pending", "created", "")


def test_refused_credentials_of_a_status_check_pause_the_provider(record, creating, far, third):
    far.on("GET", Answer(401))

    run(creating)

    assert Provider.objects.get(pk=third.provider.pk).paused
    assert far.methods == ["GET"]


def test_the_final_status_after_corrected_credentials_removes_the_flag(record, creating, far):
    far.on("POST", Answer(401), Answer(201, {"status": "completed"}))
    run(creating)

    run(creating)

    assert facts(record) == ("completed", "created", "")


@pytest.mark.parametrize(("asked", "wait"), [("7", 7), ("86400", 3600)])
def test_it_waits_as_long_as_a_429_asks_without_using_a_retry(record, creating, far, asked, wait):
    far.on("POST", Answer(429, headers={"Retry-After": asked}))

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "")
    assert (found.state, found.tries) == ("waiting", 0)
    assert wait <= wait_of(found) + 0.1
    assert wait_of(found) <= wait * 1.25


@pytest.mark.parametrize("asked", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_429_that_asks_for_no_wait_is_repeated_with_a_backoff(creating, far, asked):
    """A date may lie in the past because two clocks differ."""
    far.on("POST", Answer(429, headers={"Retry-After": asked}))
    for _ in range(5):
        found = run(creating)

    assert wait_of(found) > 1


def test_it_waits_until_the_date_of_a_429(creating, far):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    far.on("POST", Answer(429, headers={"Retry-After": date}))

    assert 87 <= wait_of(run(creating)) <= 90 * 1.25


@pytest.mark.parametrize("asked", ["", "soon", "-5", "1e3", "²"])
def test_a_429_without_retry_after_is_repeated_with_growing_delays(creating, far, asked):
    far.on("GET", Answer(429, headers={"Retry-After": asked.encode().decode("latin-1")}))
    waits = [wait_of(run(creating)) for _ in range(4)]

    for number, wait in enumerate(waits):
        assert wait == pytest.approx(2**number, rel=0.25)
