"""The handler `create`: the effect of each answer on the transaction, its timeline and its jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cast import job, now
from tests.running import again, began, change, claim, expire, facts, perform, run, timeline, tries, wait_of
from tests.servers import Answer
from transactions.observations import Observation
from transactions.status import Source, Submission
from transactions.store import apply
from workers import jobs
from workers.models import Job
from workers.outbound import Http

pytestmark = pytest.mark.django_db

LOST = Answer(lost=True)
UNKNOWN = [Answer(504), Answer(502), Answer(503), Answer(500), LOST]


# --- created


@pytest.mark.parametrize("word", ["completed", "declined", "failed"])
def test_it_applies_the_final_status_of_the_creates_answer(record, creating, far, word):
    far.on("POST", Answer(201, {"status": word}))

    assert run(creating).state == "done"
    assert facts(record) == (word, "created", "")
    assert timeline(record)[1:] == [("status", word, 2, "create")]


def test_it_checks_the_status_before_it_creates(creating, far):
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert tries(creating) == [("GET", 404), ("POST", 201)]


def test_it_creates_without_a_status_check_if_the_setting_is_off(creating, far, third):
    change(third, check_before_create=False)
    far.on("POST", Answer(201, {"status": "completed"}))

    run(creating)

    assert far.methods == ["POST"]


def test_it_does_not_create_a_transaction_that_the_status_check_found(record, creating, far):
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
        Answer(200, [1]),
        Answer(200, {"status": {"deep": 1}}),
        Answer(204, body=b""),
        Answer(201, {"status": "completed"}, cut=True),
    ],
)
def test_a_2xx_without_a_final_status_is_created_and_pending(record, creating, far, answer):
    far.on("POST", answer)

    assert run(creating).state == "done"
    assert facts(record)[:2] == ("pending", "created")
    assert timeline(record)[1:] in ([], [("review", "", None, "create")])


def test_it_flags_an_unmapped_status_and_treats_it_as_pending(record, creating, far):
    far.on("POST", Answer(201, {"status": "frobnicated"}))

    run(creating)

    assert facts(record) == ("pending", "created", "unmapped")
    assert now(record).events.get(kind="review").detail == {"review": "unmapped", "word": "frobnicated"}


def test_a_failure_at_the_provider_has_its_own_code(record, creating, far):
    far.on("POST", Answer(201, {"status": "failed"}))

    run(creating)

    assert now(record).failure_code == "failed_at_provider"


def test_it_stores_the_start_of_the_create(record, creating, far):
    far.on("POST", Answer(201, {"status": "pending"}))

    run(creating)

    row = now(record)
    assert row.create_began_at is not None
    assert row.created_at <= row.create_began_at <= again(creating).updated_at


# --- it exists


def test_after_a_409_it_reads_the_status(record, creating, far):
    far.on("GET", Answer(404), Answer(200, {"status": "declined"}))
    far.on("POST", Answer(409))

    assert run(creating).state == "done"
    assert far.methods == ["GET", "POST", "GET"]
    assert facts(record) == ("declined", "created", "")


@pytest.mark.parametrize(
    "look", [Answer(404), Answer(500), Answer(429), Answer(401), Answer(403), Answer(200, {}), LOST]
)
def test_after_a_409_without_a_readable_status_polling_continues(record, creating, far, look):
    run(job(record, "track"))
    far.on("GET", Answer(404), look)
    far.on("POST", Answer(409))

    assert run(creating).state == "done"
    assert facts(record)[:2] == ("pending", "created")
    assert wait_of(job(record, "track")) < 60  # not parked for 600 seconds


# --- unknown


@pytest.mark.parametrize("answer", UNKNOWN)
def test_an_unknown_outcome_is_neither_failed_nor_created(record, creating, far, answer):
    far.on("POST", answer)

    found = run(creating)

    assert facts(record) == ("pending", "unknown", "")
    assert (found.state, found.tries) == ("waiting", 1)
    assert wait_of(found) == pytest.approx(120, abs=0.1)
    assert now(record).create_began_at is not None


def test_a_read_timeout_is_an_unknown_outcome(record, creating, far, third, released):
    change(third, create_timeout=0.2)
    far.on("POST", Answer(201, {"status": "completed"}, held=released))

    assert run(creating).tries == 1
    assert facts(record) == ("pending", "unknown", "")


@pytest.mark.parametrize("body", [b"<html>all is well", b"OK", b"status=completed"])
def test_a_2xx_with_a_body_that_is_no_json_is_an_unknown_outcome(record, creating, far, body):
    far.on("POST", Answer(200, body=body))

    run(creating)

    assert facts(record) == ("pending", "unknown", "")


@pytest.mark.parametrize("status", [302, 405, 410, 418, 501])
def test_an_unlisted_answer_is_an_unknown_outcome(record, creating, far, status):
    far.on("POST", Answer(status, headers={"Location": far.url}))

    run(creating)

    assert facts(record) == ("pending", "unknown", "")
    assert far.methods == ["GET", "POST"]


def test_an_unknown_outcome_resumes_polling(record, creating, far):
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


def test_it_checks_the_status_after_an_unknown_create_even_if_the_setting_is_off(record, creating, far, third):
    change(third, check_before_create=False)
    far.on("POST", Answer(504))
    run(creating)

    run(creating)

    assert far.methods == ["POST", "GET"]


def test_a_status_check_that_began_too_early_does_not_prove_absence(record, creating, far, third, released):
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
    assert outcome.result.submission == "unknown"


@pytest.mark.parametrize("answer", [Answer(500), Answer(429), Answer(503), LOST])
def test_it_does_not_create_after_a_failed_status_check(record, creating, far, answer):
    far.on("GET", answer)

    found = run(creating)

    assert far.of("POST") == []
    assert (found.state, found.tries) == ("waiting", 0)
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
    Job.objects.filter(pk=creating.pk).update(tries=9)
    began(record, 119)

    assert run(creating).state == "waiting"
    assert facts(record) == ("pending", "unknown", "")


def test_the_status_check_before_a_retry_finds_a_create_that_took_effect_late(record, creating, far):
    far.on("POST", Answer(504))
    run(creating)
    far.on("GET", Answer(200, {"status": "declined"}))

    assert run(creating).state == "done"
    assert far.methods == ["GET", "POST", "GET"]
    assert facts(record) == ("declined", "created", "")


def test_it_never_repeats_the_create_of_a_transaction_that_the_provider_has(record, creating, far):
    """A poll or a webhook found it. A later status check that misses it, perhaps at a replica, changes nothing."""
    far.on("POST", Answer(504), Answer(201, {"status": "completed"}))
    run(creating)
    began(record, 500, submission="created")

    run(creating)

    assert far.methods.count("POST") == 1


def test_a_transaction_that_the_provider_has_is_polled_soon(record, creating):
    """The create was lost while polling waited for it, and a webhook reported the status `pending`."""
    tracking, lost = job(record, "track"), claim(creating)
    run(tracking)
    expire(creating)
    jobs.recover()
    apply([(record.id, Observation(Source.WEBHOOK, submission=Submission.CREATED))])
    assert lost.id == creating.pk

    run(creating)

    assert wait_of(again(tracking)) < 5


def test_it_never_fails_as_not_created_a_transaction_that_the_provider_has(record, creating, far):
    Job.objects.filter(pk=creating.pk).update(tries=9)
    began(record, 500, submission="created")

    run(creating)

    assert now(record).status == "pending"
