"""Creating: the answers table of the `http` adapter, from the call to what the row, the timeline and the jobs say."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db.models.functions import Now

from tests.cast import accepted, job, now
from tests.running import again, began, change, claim, expire, run, settle, timeline, tries, wait_of, work
from tests.servers import Answer, silent
from transactions.handlers.create import create
from transactions.models import Provider, Transaction
from transactions.news import News, apply
from transactions.status import Source, Status
from workers import jobs
from workers.models import Job
from workers.outbound import Http
from workers.registry import Done, Outcome

pytestmark = pytest.mark.django_db

LOST = Answer(lost=True)
UNKNOWN = [Answer(504), Answer(502), Answer(503), Answer(500), LOST]


@pytest.fixture
def record(alice, third):
    return accepted(alice, third)


@pytest.fixture
def creating(record):
    return job(record, "create")


def facts(record):
    row = now(record)
    return row.status, row.submission, row.review


# --- created


@pytest.mark.parametrize("word", ["completed", "declined", "failed"])
def test_it_takes_a_final_status_from_the_creates_own_answer(record, creating, far, word):
    far.on("POST", Answer(201, {"status": word}))

    assert run(creating).state == "done"
    assert facts(record) == (word, "created", "")
    assert timeline(record)[1:] == [("status", word, 2, "create")]


def test_it_looks_before_it_creates(creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert tries(creating) == [("GET", 404), ("POST", 201)]


def test_it_does_not_look_first_where_the_provider_says_so(creating, far, third):
    change(third, check_before_create=False)
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert far.methods == ["POST"]


def test_it_does_not_create_what_a_look_has_found(record, creating, far):
    far.on("GET", Answer(200, {"status": "completed"}))

    assert run(creating).state == "done"
    assert far.methods == ["GET"]
    assert facts(record) == ("completed", "created", "")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(201, {"status": "pending"}),
        Answer(201, {}),
        Answer(202, body=b""),
        Answer(200, body=b"<html>all is well"),
        Answer(200, [1]),
        Answer(200, {"status": {"deep": 1}}),
        Answer(204, body=b""),
    ],
)
def test_a_2xx_without_a_final_status_is_created_and_pending(record, creating, far, answer):
    far.on("POST", answer)

    assert run(creating).state == "done"
    assert facts(record)[:2] == ("pending", "created")
    assert timeline(record)[1:] in ([], [("review", "", None, "create")])


def test_it_flags_a_word_that_is_not_in_the_map_and_takes_it_as_pending(record, creating, far):
    far.on("POST", Answer(201, {"status": "frobnicated"}))

    run(creating)

    assert facts(record) == ("pending", "created", "unmapped")
    assert now(record).events.get(kind="review").detail == {"review": "unmapped", "word": "frobnicated"}


def test_a_failure_at_the_provider_has_its_own_code(record, creating, far):
    far.on("POST", Answer(201, {"status": "failed"}))

    run(creating)

    assert now(record).failure_code == "failed_at_provider"


def test_it_remembers_when_the_create_began(record, creating, far):
    far.on("POST", Answer(201, {"status": "pending"}))

    run(creating)

    row = now(record)
    assert row.create_began_at is not None
    assert row.created_at <= row.create_began_at <= again(creating).updated_at


# --- it exists


def test_after_a_409_it_reads_what_exists(record, creating, far):
    far.on("GET", Answer(404), Answer(200, {"status": "declined"}))
    far.on("POST", Answer(409))

    assert run(creating).state == "done"
    assert far.methods == ["GET", "POST", "GET"]
    assert facts(record) == ("declined", "created", "")


@pytest.mark.parametrize("look", [Answer(404), Answer(500), Answer(429), Answer(401), LOST])
def test_after_a_409_that_cannot_be_read_polling_goes_on(record, creating, far, look):
    run(job(record, "track"))
    far.on("GET", Answer(404), look)
    far.on("POST", Answer(409))

    assert run(creating).state == "done"
    assert facts(record)[:2] == ("pending", "created")
    assert wait_of(job(record, "track")) < 0.5


# --- unknown


@pytest.mark.parametrize("answer", UNKNOWN)
def test_an_unknown_outcome_is_neither_failed_nor_created(record, creating, far, answer):
    far.on("POST", answer)

    found = run(creating)

    assert facts(record) == ("pending", "unknown", "")
    assert (found.state, found.step) == ("waiting", 1)
    assert wait_of(found) == pytest.approx(120, abs=0.1)
    assert now(record).create_began_at is not None


def test_a_read_timeout_is_an_unknown_outcome(record, creating, far, third, released):
    change(third, create_timeout=0.2)
    far.on("POST", Answer(201, {"status": "completed"}, held=released))

    assert run(creating).step == 1
    assert facts(record) == ("pending", "unknown", "")


def test_an_answer_cut_off_in_its_body_is_an_unknown_outcome(record, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}, cut=True))

    run(creating)

    assert facts(record) == ("pending", "unknown", "")


@pytest.mark.parametrize("status", [302, 405, 410, 418, 501])
def test_what_no_table_knows_is_unknown(record, creating, far, status):
    far.on("POST", Answer(status, headers={"Location": far.url}))

    run(creating)

    assert facts(record) == ("pending", "unknown", "")
    assert far.methods == ["GET", "POST"]


def test_an_unknown_outcome_sets_polling_going(record, creating, far):
    run(job(record, "track"))
    far.on("POST", Answer(504))

    run(creating)

    assert wait_of(job(record, "track")) < 0.5


def test_it_sends_no_second_create_while_the_first_may_take_effect(record, creating, far):
    began(record, 119)

    found = run(creating)

    assert far.methods == ["GET"]
    assert facts(record) == ("pending", "unknown", "")
    assert wait_of(found) == pytest.approx(1, abs=0.5)


def test_it_creates_again_once_absence_is_proven(record, creating, far):
    began(record, 121)
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert far.methods == ["GET", "POST"]
    assert facts(record) == ("completed", "created", "")


def test_it_looks_after_an_unknown_create_even_where_it_does_not_look_first(record, creating, far, third):
    change(third, check_before_create=False)
    far.on("POST", Answer(504))
    run(creating)

    run(creating)

    assert far.methods == ["POST", "GET"]


def test_a_look_that_began_too_early_proves_nothing_however_late_it_ends(record, creating, far, third, released):
    change(third, settle_window=0.2)
    began(record, 0)
    window_ends = (now(record).create_began_at or datetime.now(UTC)) + timedelta(seconds=0.3)

    class Slow(Http):
        async def call(self, method, url, **how):
            answer = await super().call(method, url, **how)
            while claimed.now() < window_ends:
                pass
            return answer

    claimed = claim(creating)
    outcome = perform(claimed, Slow)

    assert far.methods == ["GET"]
    assert outcome.news.submission == "unknown"


@pytest.mark.parametrize("answer", [Answer(500), Answer(429), Answer(302), LOST])
def test_a_look_that_tells_nothing_is_no_leave_to_create(record, creating, far, answer):
    far.on("GET", answer)

    found = run(creating)

    assert far.of("POST") == []
    assert (found.state, found.step) == ("waiting", 0)
    assert facts(record) == ("pending", "unsent", "")


def test_each_retry_moves_the_start_of_the_window(record, creating, far):
    began(record, 500)
    far.on("POST", Answer(504))

    run(creating)
    run(creating)

    assert far.methods == ["GET", "POST", "GET"]


def test_it_fails_only_when_the_retries_are_used_up_and_absence_is_proven(record, creating, far):
    far.on("POST", Answer(504))
    for _ in range(4):
        run(creating)
        began(record, 121)
    assert (now(record).status, far.methods.count("POST")) == ("pending", 4)

    assert run(creating).state == "done"
    assert facts(record) == ("failed", "refused", "")
    assert (now(record).failure_code, far.methods.count("POST")) == ("not_created", 4)
    assert timeline(record)[-1] == ("status", "failed", 2, "clock")


def test_without_proof_of_absence_it_never_fails(record, creating, far):
    Job.objects.filter(pk=creating.pk).update(step=9)
    began(record, 119)

    assert run(creating).state == "waiting"
    assert facts(record) == ("pending", "unknown", "")


def test_a_late_appearance_is_found_by_the_look_before_the_retry(record, creating, far):
    far.on("POST", Answer(504))
    run(creating)
    far.on("GET", Answer(200, {"status": "declined"}))

    assert run(creating).state == "done"
    assert far.methods == ["GET", "POST", "GET"]
    assert facts(record) == ("declined", "created", "")


def test_it_never_creates_again_what_the_provider_is_known_to_have(record, creating, far):
    """A poll or a webhook has seen it; that a look, at a replica say, does not find it now changes nothing."""
    far.on("POST", Answer(504), Answer(201, {"status": "completed"}))
    run(creating)
    began(record, 500, submission="created")

    run(creating)

    assert far.methods.count("POST") == 1


def test_it_never_fails_for_lack_of_a_creation_what_the_provider_is_known_to_have(record, creating, far):
    Job.objects.filter(pk=creating.pk).update(step=9)
    began(record, 500, submission="created")

    run(creating)

    assert now(record).status == "pending"


# --- not sent


def test_a_refused_connection_is_not_sent_and_uses_no_retry(record, creating, far, third):
    change(third, base_url="http://127.0.0.1:1")

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "")
    assert (found.state, found.step) == ("waiting", 0)
    assert now(record).create_began_at is None


@pytest.fixture
def direct(third):
    """Creates without a look first, so that it is the create that cannot be sent."""
    change(third, check_before_create=False)


def test_a_name_that_does_not_resolve_is_not_sent(record, creating, third, direct):
    change(third, base_url="https://nowhere.invalid")

    assert run(creating).step == 0
    assert facts(record) == ("pending", "unsent", "")


def test_a_failed_tls_handshake_is_not_sent(record, creating, far, third, direct):
    change(third, base_url=far.url.replace("http:", "https:"))

    assert run(creating).step == 0
    assert facts(record) == ("pending", "unsent", "")
    assert far.asked == []


@pytest.mark.parametrize("create_timeout", [0.3, 35])
def test_a_connection_that_is_not_taken_up_in_time_is_not_sent(
    record, creating, third, direct, monkeypatch, create_timeout
):
    monkeypatch.setattr("workers.outbound.CONNECT_TIMEOUT", 0.4)
    with silent() as port:
        change(third, base_url=f"http://127.0.0.1:{port}", create_timeout=create_timeout)
        found = run(creating)

    assert found.step == 0
    assert facts(record) == ("pending", "unsent", "")


def test_not_sent_comes_again_soon_with_growing_delays(creating, third, direct):
    change(third, base_url="http://127.0.0.1:1")
    waits = [wait_of(run(creating)) for _ in range(9)]

    for number, wait in enumerate(waits):
        assert wait == pytest.approx(min(60, 0.5 * 2**number), rel=0.25)


def test_delays_are_jittered(alice, third, direct):
    change(third, base_url="http://127.0.0.1:1")
    waits = {round(wait_of(run(job(accepted(alice, third), "create"))), 3) for _ in range(6)}

    assert len(waits) > 1


def test_not_sent_after_an_unknown_create_forgets_nothing(record, creating, far, third):
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
        (["x"], "the provider answered {status}"),
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
def test_a_refusal_with_a_strange_body_is_a_refusal(record, creating, far, body):
    far.on("POST", Answer(422, body=body))

    run(creating)

    assert facts(record) == ("failed", "refused", "")


def test_a_strange_status_word_is_flagged_and_loses_nothing(record, creating, far):
    far.on("POST", Answer(201, body=b'{"status": "a\\ud800b"}'))

    assert run(creating).state == "done"
    assert facts(record) == ("pending", "created", "unmapped")


def test_a_final_status_cancels_what_still_waits_and_is_told_once(record, creating, far):
    far.on("POST", Answer(422))

    run(creating)

    assert job(record, "track").state == "cancelled"
    assert job(record, "notify").state == "cancelled"
    assert job(record, "notify", "seq:2").state == "waiting"
    assert Job.objects.filter(transaction_id=record.id, state="waiting").count() == 1


# --- our credentials, and too many calls


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_pause_the_provider_and_fail_nothing(record, creating, far, third, status):
    far.on("POST", Answer(status))

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "credentials")
    assert (found.state, found.step) == ("waiting", 0)
    paused = Provider.objects.get(pk=third.provider.pk)
    assert paused.paused and str(status) in paused.paused_why


def test_a_look_whose_credentials_are_refused_pauses_as_well(record, creating, far, third):
    far.on("GET", Answer(401))

    run(creating)

    assert Provider.objects.get(pk=third.provider.pk).paused
    assert far.methods == ["GET"]


def test_once_credentials_are_mended_the_flag_goes_with_the_final_status(record, creating, far):
    far.on("POST", Answer(401), Answer(201, {"status": "completed"}))
    run(creating)

    run(creating)

    assert facts(record) == ("completed", "created", "")


@pytest.mark.parametrize(("asked", "wait"), [("7", 7), ("0", 0), ("86400", 3600), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)])
def test_a_429_is_waited_out_as_asked_without_using_a_retry(record, creating, far, asked, wait):
    far.on("POST", Answer(429, headers={"Retry-After": asked}))

    found = run(creating)

    assert facts(record) == ("pending", "unsent", "")
    assert (found.state, found.step) == ("waiting", 0)
    assert wait_of(found) == pytest.approx(wait, abs=0.1)


def test_a_429_with_a_date_is_waited_out_until_then(creating, far):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    far.on("POST", Answer(429, headers={"Retry-After": date}))

    assert wait_of(run(creating)) == pytest.approx(90, abs=3)


@pytest.mark.parametrize("asked", ["", "soon", "-5", "1e3", "²"])
def test_a_429_that_names_no_time_grows(creating, far, asked):
    far.on("GET", Answer(429, headers={"Retry-After": asked.encode().decode("latin-1")}))
    waits = [wait_of(run(creating)) for _ in range(4)]

    for number, wait in enumerate(waits):
        assert wait == pytest.approx(2**number, rel=0.25)


# --- lost runs


def test_a_lost_run_counts_as_a_create_that_may_have_begun(record, creating, far):
    claim(creating)
    expire(creating)
    jobs.recover()

    run(creating)

    assert far.methods == ["GET"]
    assert facts(record) == ("pending", "unknown", "")
    assert again(creating).run_at > again(creating).updated_at + timedelta(seconds=100)


def test_the_window_of_a_lost_run_counts_from_the_end_of_its_lease(record, creating, far):
    claim(creating)
    expire(creating, 119)
    jobs.recover()

    assert wait_of(run(creating)) == pytest.approx(1, abs=0.5)


def test_after_the_window_of_a_lost_run_it_creates(record, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    claim(creating)
    expire(creating, 121)
    jobs.recover()

    run(creating)

    assert facts(record) == ("completed", "created", "")


@pytest.mark.parametrize(("create_age", "lost_age"), [(500, 5), (5, 500)])
def test_of_a_lost_run_and_an_unknown_create_the_later_one_counts(record, creating, far, create_age, lost_age):
    began(record, create_age)
    claim(creating)
    expire(creating, lost_age)
    jobs.recover()

    run(creating)

    assert far.methods == ["GET"]


@pytest.mark.parametrize("look", [Answer(500), Answer(429), Answer(401), LOST])
def test_a_lost_run_is_not_forgotten_when_the_next_look_tells_nothing(record, creating, far, look):
    claim(creating)
    expire(creating)
    jobs.recover()
    far.on("GET", look)
    run(creating)
    far.on("GET", Answer(404))

    run(creating)

    assert far.of("POST") == []


def test_a_handed_back_run_counts_as_a_create_that_may_have_begun(record, creating, far):
    settle(claim(creating), jobs.Lost("handed back by a stopping worker"))

    run(creating)

    assert far.methods == ["GET"]


def test_a_lost_run_that_did_create_is_found(record, creating, far):
    far.on("GET", Answer(200, {"status": "completed"}))
    claim(creating)
    expire(creating)
    jobs.recover()

    run(creating)

    assert facts(record) == ("completed", "created", "")
    assert far.methods == ["GET"]


def test_a_create_that_is_given_up_after_lost_runs_is_still_polled_for(record, creating, far, settings):
    """A lost run may have created it: nobody would ever hear of it if polling took it for unsent."""
    settings.MAX_CRASHES = 1
    claim(creating)
    expire(creating)
    jobs.recover()
    far.on("GET", Answer(200, {"status": "completed"}))

    run(job(record, "track"))

    assert again(creating).state == "failed"
    assert now(record).status == "completed"


def test_it_begins_no_create_that_its_lease_would_not_outlive(record, creating, far):
    claimed = claim(creating)
    Job.objects.filter(pk=creating.pk).update(lease_until=Now() + timedelta(seconds=30))
    short = replace(claimed, lease_until=claimed.claimed_at + timedelta(seconds=30))

    outcome = perform(short)

    assert far.methods == ["GET"]
    assert outcome.next.after > 0


def test_a_final_transaction_has_nothing_left_to_create(record, creating, far):
    Transaction.objects.filter(pk=record.id).update(status="completed", finalised_at=Now())

    assert run(creating).state == "done"
    assert far.asked == []


def test_what_a_run_learnt_after_a_webhook_contradicts_nothing_when_it_agrees(record, creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))
    claimed = claim(creating)
    outcome = perform(claimed)
    webhook(record, "completed")

    settle(claimed, outcome)

    assert facts(record) == ("completed", "created", "")
    assert [kind for kind, *_ in timeline(record)] == ["status", "status"]


def test_a_webhook_during_the_create_wins_and_the_creates_answer_contradicts(record, creating, far):
    far.on("POST", Answer(201, {"status": "declined"}))
    claimed = claim(creating)
    outcome = perform(claimed)
    webhook(record, "completed")

    settle(claimed, outcome)

    assert facts(record) == ("completed", "created", "contradiction")
    assert timeline(record)[-1] == ("contradiction", "declined", None, "create")


def test_nothing_is_left_to_do_when_the_handler_never_ran(record, creating):
    assert settle(claim(creating), Outcome(Done())) == []
    assert facts(record) == ("pending", "unsent", "")


@pytest.fixture
def released():
    """An event that holds answers back until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def perform(claimed, http=Http):
    """Run the handler alone."""
    seen = replace(work(claimed), claim=claimed)

    async def go():
        async with http(["127.0.0.1"]) as opened:
            return await create(seen, opened)

    return asyncio.run(go())


def webhook(record, word):
    apply([(record.id, News(Source.WEBHOOK, status=Status(word)))])
