"""The handlers `create` and `track`, if the provider's answers cannot be used, or are odd in their text."""

import json
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from clients.models import Client
from providers.models import Provider
from tests.cast import accepted, clear_caches, job, now
from tests.running import again, age, began, change, claim, facts, perform, run, settle, timeline, tries, wait_of
from tests.servers import Answer
from tests.threads import at_once, await_sessions_end, errors
from transactions.models import Event, Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CREATED = Answer(201, {"status": "pending"})
PENDING = Answer(200, {"status": "pending"})

UNREADABLE = {
    "error object": Answer(200, {"status": None, "data": None}),
    "another field": Answer(200, {"state": "completed"}),
    "empty list": Answer(200, []),
    "empty object": Answer(200, {}),
    "null": Answer(200),
    "empty": Answer(200, body=b""),
    "page": Answer(200, body=b"<html>Back soon</html>"),
    "half an object": Answer(200, body=b'{"status": "comp'),
    "no content": Answer(204),
    "moved": Answer(301, headers={"Location": "https://new.example/"}),
    "found": Answer(302, headers={"Location": "/login"}),
    "moved for good": Answer(308, headers={"Location": "/v2/"}),
    "bad request": Answer(400, {"message": "no such id"}),
    "payment required": Answer(402, body=b""),
    "not allowed": Answer(405, body=b"GET?"),
    "gone": Answer(410, {"error": "gone"}),
    "invalid": Answer(422, {"errors": ["id"]}),
}
UNMAPPED = {
    "error": Answer(200, {"status": "error", "data": None}),
    "upper case": Answer(200, {"status": "COMPLETED"}),
    "a number": Answer(200, {"status": 7}),
    "a boolean": Answer(200, {"status": True}),
}
UNUSABLE = UNREADABLE | UNMAPPED


def each(answers):
    return pytest.mark.parametrize("odd", answers.values(), ids=answers)


def notes(record):
    return list(Event.objects.filter(transaction_id=record.id, kind="note"))


@pytest.fixture
def unknown(record, creating):
    """Return the job of a create whose outcome has been unknown for longer than the settle window."""
    began(record, 500)
    Job.objects.filter(pk=creating.pk).update(tries=1, claim_count=1)
    return creating


@pytest.fixture
def tracking(record):
    """Return the job `track` of a transaction that was created."""
    Transaction.objects.filter(pk=record.id).update(submission="created", seen_at=Now())
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="done")
    return job(record, "track")


# --- before anything was sent


@each(UNUSABLE)
def test_an_unusable_status_check_does_not_hold_up_the_first_create(record, creating, far, odd):
    far.on("GET", odd)
    far.on("POST", CREATED)

    assert run(creating).state == "done"
    assert far.methods == ["GET", "POST"]
    assert facts(record) == ("pending", "created", "")
    [note] = notes(record)
    assert "nothing was sent before" in note.detail["why"]
    assert str(odd.status) in note.detail["why"] or "status_map" in note.detail["why"]


@pytest.mark.parametrize("after", [Answer(429), Answer(401), Answer(403)])
def test_the_note_is_written_once_although_its_words_change(record, creating, far, after):
    """A page may show the time, or the number of the request."""
    far.on("GET", *(Answer(400, {"request": number}) for number in range(5)))
    far.on("POST", after)

    for _ in range(5):
        run(creating)

    assert len(notes(record)) == 1


@pytest.mark.parametrize("odd", [Answer(401), Answer(403), Answer(429), Answer(500), Answer(503), Answer(lost=True)])
def test_these_answers_hold_up_the_first_create(record, creating, far, odd):
    far.on("GET", odd)

    assert run(creating).state == "waiting"
    assert far.of("POST") == []
    assert notes(record) == []


@pytest.mark.parametrize("odd", [UNUSABLE["moved"], UNUSABLE["page"], UNUSABLE["error"]])
def test_a_refused_create_after_an_unusable_status_check_fails_with_its_reason(record, creating, far, odd):
    far.on("GET", odd)
    far.on("POST", Answer(422, {"message": "no such account"}))
    run(creating)

    row = now(record)
    assert (row.status, row.failure_code, row.failure_detail) == ("failed", "refused", "no such account")
    assert len(notes(record)) == 1


# --- after an unknown create


@each(UNUSABLE)
def test_after_an_unknown_create_an_unusable_answer_creates_nothing_and_flags(record, unknown, far, odd):
    far.on("GET", odd)
    for _ in range(2):
        run(unknown)

    assert far.of("POST") == []
    assert facts(record) == ("pending", "unknown", "unmapped" if odd in UNMAPPED.values() else "unreadable")
    assert [kind for kind, *_ in timeline(record)].count("review") == 1


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (Answer(400, {"message": "no such id"}), ["400", "no such id"]),
        (Answer(200, body=b"<h1>Sorry"), ["200", "without a status", "<h1>Sorry"]),
        (Answer(200, {"status": "on hold"}), ["status_map", "on hold"]),
        (Answer(200, body=b""), ["empty"]),
        (Answer(301, headers={"Location": "https://new.example/v2"}), ["301", "base_url", "https://new.example/v2"]),
        (Answer(308, headers={"Location": "/v2"}), ["308", "base_url", "/v2"]),
        (Answer(308), ["308", "base_url"]),
    ],
)
@pytest.mark.parametrize("kind", ["create", "track"])
def test_the_flag_shows_the_words_of_the_answer(record, unknown, far, odd, words, kind):
    far.on("GET", odd)
    run(job(record, kind))

    why = now(record).review_why
    assert all(word in why for word in words), why
    assert Event.objects.get(transaction_id=record.id, kind="review").detail["why"] == why


@pytest.mark.parametrize("odd", [UNREADABLE["page"], UNREADABLE["moved"], UNREADABLE["empty object"]])
@pytest.mark.parametrize(
    ("usable", "submission"),
    [(PENDING, "created"), (Answer(404), "unknown"), (Answer(200, {"status": "completed"}), "created")],
)
def test_the_next_usable_answer_ends_the_flag(record, unknown, far, odd, usable, submission):
    far.on("GET", odd, usable)
    tracked = job(record, "track")
    run(tracked)
    assert facts(record)[2] == "unreadable"

    run(tracked)

    row = now(record)
    assert (row.submission, row.review, row.review_why, row.stuck_since) == (submission, "", "", None)


def test_an_unreadable_answer_that_became_a_404_leads_to_another_create(record, unknown, far):
    far.on("GET", UNREADABLE["page"], Answer(404))
    far.on("POST", CREATED)
    run(unknown)
    run(unknown)

    assert far.methods == ["GET", "GET", "POST"]
    assert facts(record) == ("pending", "created", "")


@pytest.mark.parametrize("page", [b"<html>Back soon</html>", b"OK", b"\xff\x00"])
def test_a_create_answered_2xx_by_a_page_is_unknown(record, creating, far, page):
    far.on("POST", Answer(201, body=page), Answer(500))
    found = run(creating)

    assert facts(record) == ("pending", "unknown", "")
    assert (found.state, found.tries) == ("waiting", 1)


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b"[]", b"null"])
def test_a_create_answered_2xx_without_words_is_created(record, creating, far, body):
    far.on("POST", Answer(201, body=body))

    assert run(creating).state == "done"
    assert facts(record) == ("pending", "created", "")


# --- created, and then absent


@pytest.mark.parametrize("polls", [1, 3])
def test_a_confirmed_transaction_that_is_absent_briefly_is_not_missing(record, tracking, far, polls):
    far.on("GET", Answer(404))
    for _ in range(polls):
        run(tracking)

    assert facts(record) == ("pending", "created", "")


@pytest.mark.parametrize("window", [5.0, 120.0, 600.0])
def test_it_is_missing_at_the_first_poll_after_the_settle_window(record, tracking, far, third, window):
    change(third, settle_window=window, poll_cap=3600, second_poll=3000)
    far.on("GET", Answer(404), Answer(404), PENDING)

    assert window - 1 < wait_of(run(tracking)) < window + 2
    Transaction.objects.filter(pk=record.id).update(seen_at=Now() - timedelta(seconds=window + 0.1))
    run(tracking)

    assert facts(record) == ("pending", "created", "missing")
    assert "did not find it" in now(record).review_why

    run(tracking)
    assert facts(record) == ("pending", "created", "")


@pytest.mark.parametrize("answer", [UNREADABLE["page"], Answer(500), Answer(404)])
def test_a_missing_transaction_stays_missing_until_it_is_found(record, tracking, far, answer):
    Transaction.objects.filter(pk=record.id).update(seen_at=Now() - timedelta(seconds=900))
    far.on("GET", Answer(404), answer)
    run(tracking)
    run(tracking)

    assert facts(record) == ("pending", "created", "missing")


# --- 402, 403


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"message": "no funds"}, "no funds"),
        ({"error": {"message": "card expired"}}, "card expired"),
        ({}, "the provider declined it"),
    ],
)
def test_a_create_answered_402_is_declined_with_the_reason(record, creating, far, body, detail):
    far.on("POST", Answer(402, body))
    run(creating)

    row = now(record)
    assert (row.status, row.failure_code, row.failure_detail) == ("declined", "declined", detail)


def paused(third):
    return Provider.objects.get(pk=third.provider.pk).paused


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_transaction_that_is_denied_waits_alone(record, creating, far, third, method):
    far.on(method, Answer(403, {"message": "account is closed"}))
    for _ in range(3):
        run(creating)

    assert facts(record) == ("pending", "unsent", "denied")
    assert "account is closed" in now(record).review_why
    assert again(creating).state == "waiting"
    assert not paused(third)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_two_denied_transactions_within_a_minute_pause_the_provider(alice, third, far, method):
    far.on(method, Answer(403))
    for _ in range(2):
        run(job(accepted(alice, third), "create"))

    assert paused(third)
    assert "403 for two transactions" in Provider.objects.get(pk=third.provider.pk).paused_why


@pytest.mark.parametrize("seconds", [61, 300, 86_400])
def test_a_second_denied_transaction_much_later_pauses_nothing(alice, third, far, seconds):
    far.on("GET", Answer(403))
    run(job(accepted(alice, third), "create"))
    Provider.objects.update(denied_at=Now() - timedelta(seconds=seconds))
    run(job(accepted(alice, third), "create"))

    assert not paused(third)


def test_retries_of_denied_transactions_pause_nothing(alice, third, far):
    far.on("GET", Answer(403))
    first, second = (job(accepted(alice, third), "create") for _ in range(2))
    run(first)
    Provider.objects.update(denied_at=Now() - timedelta(seconds=61))
    run(second)
    for one in (first, second, first):
        run(one)

    assert not paused(third)


def test_the_retries_of_one_denied_transaction_leave_the_next_one_alone(alice, third, far):
    far.on("GET", Answer(403))
    run(first := job(accepted(alice, third), "create"))
    Provider.objects.update(denied_at=Now() - timedelta(seconds=61))
    for _ in range(3):
        run(first)
    run(job(accepted(alice, third), "create"))

    assert not paused(third)


@pytest.mark.django_db(transaction=True)
def test_two_denied_transactions_at_the_same_time_pause_the_provider(alice, third, far):
    far.on("GET", Answer(403))
    claims = [claim(job(accepted(alice, third), "create")) for _ in range(2)]
    outcomes = [perform(one) for one in claims]

    results = at_once(
        *(lambda one=one, outcome=outcome: settle(one, outcome) for one, outcome in zip(claims, outcomes, strict=True))
    )
    await_sessions_end()

    assert errors(results) == []
    assert paused(third)


def test_an_answer_ends_the_flag_denied(record, creating, far):
    far.on("GET", Answer(403), Answer(404))
    far.on("POST", CREATED)
    run(creating)
    run(creating)

    assert facts(record) == ("pending", "created", "")
    assert ("review", "", None, "create") in timeline(record)


# --- any text

TEXTS = {
    "NUL": "a\x00b",
    "lone surrogate": "\ud800",
    "lone low surrogate": "x\udfff",
    "100 KB": "x" * 100_000,
    "emoji": "😀" * 5_000,
    "controls": "\x01\x1b[31m\x7f\u2028",
    "quotes": "'; DROP TABLE x; -- \" \\ %s {id}",
    "NaN": float("nan"),
    "a number of 400 digits": int("9" * 400),
    "infinity": float("inf"),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("status", [200, 301, 402, 403, 422])
def test_any_text_settles_without_a_failed_job(record, unknown, far, text, status):
    body = json.dumps({"status": text, "message": text, "id": text}).encode()
    for method in ("GET", "POST"):
        far.on(method, Answer(404 if method == "GET" else status, body=body), Answer(status, body=body))
    track = job(record, "track")
    for one in (unknown, track):
        if again(one).state == "waiting":
            found = run(one)
            assert (found.state in ("waiting", "done", "cancelled"), found.crashes) == (True, 0), found.last_error

    assert far.of("POST")
    assert len(now(record).review_why) <= 500 and len(now(record).failure_detail) <= 500


@pytest.mark.parametrize("name", ["Location", "Retry-After", "Content-Type", "Content-Encoding"])
@pytest.mark.parametrize("value", ["\xff\xfe", "9" * 9_000, ";=,\"'%s\x01"])
def test_any_header_settles_without_a_failed_job(record, unknown, far, name, value):
    for status in (301, 429, 200):
        far.on("GET", Answer(status, {"status": "pending"}, headers={name: value}))
        found = run(unknown)
        assert (found.state in ("waiting", "done"), found.crashes) == (True, 0), found.last_error


@pytest.mark.parametrize("status", [200, 410, 500])
@pytest.mark.parametrize("text", ["a\x00b", "\xff", "x" * 100_000, "😀" * 5_000])
def test_any_answer_of_an_endpoint_settles_without_a_failed_job(record, far, alice, text, status):
    Client.objects.update(callback_url=far.url)
    clear_caches()
    far.on("POST", Answer(status, body=text.encode()))
    found = run(job(record, "notify"))

    assert (found.state in ("waiting", "done"), found.crashes) == (True, 0), found.last_error
    assert tries(found) == [("POST", status)]


def test_the_age_of_a_transaction_changes_no_reason(record, tracking, far):
    """A flag by the clock does not replace one by an answer."""
    age(record, 999_999)
    far.on("GET", UNREADABLE["page"])
    run(tracking)

    assert facts(record) == ("pending", "created", "unreadable")
