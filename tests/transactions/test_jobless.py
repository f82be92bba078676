"""Pending transactions that no job works on."""

import pytest

from tests.cast import accepted, job, now
from tests.running import again, facts, run, tell
from tests.servers import Answer
from transactions import store
from transactions.models import Event, Transaction
from workers.models import Job
from workers.periodic import Walk

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def search(monkeypatch):
    """Search from the first pending transaction, and again at once."""
    monkeypatch.setattr(store, "_pending", Walk(store._pending._read, store._pending._start, every=0.0))


def end(record, **states: str) -> None:
    """Set the states of jobs by kind."""
    for kind, state in states.items():
        Job.objects.filter(transaction_id=record.id, kind=kind).update(state=state)


@pytest.mark.parametrize(
    "states",
    [{"create": "done", "track": "done"}, {"create": "failed", "track": "done"}, {"create": "done", "track": "failed"}],
)
def test_a_pending_transaction_without_a_live_job_is_flagged(record, states):
    end(record, **states)

    store.flag_stalled()

    assert (now(record).review, now(record).review_why) == ("stalled", "no job is left that creates or polls it")
    assert Event.objects.filter(transaction=record.id, kind="review", source="clock").count() == 1


def test_one_whose_job_rows_are_gone_is_flagged(record):
    Job.objects.filter(transaction_id=record.id).delete()

    store.flag_stalled()

    assert now(record).review == "stalled"


@pytest.mark.parametrize(
    "states", [{}, {"create": "done"}, {"track": "done"}, {"create": "done", "track": "cancelled"}]
)
def test_one_with_a_live_job_or_cancelled_tracking_is_not(record, states):
    end(record, **states)

    store.flag_stalled()

    assert now(record).review == ""


@pytest.mark.parametrize("review", ["overdue", "given_up", "missing"])
def test_a_review_that_it_carries_already_stays(record, review):
    end(record, create="done", track="done")
    Transaction.objects.update(review=review)

    store.flag_stalled()

    assert now(record).review == review


def test_a_final_transaction_is_not_flagged(record):
    tell(record, "completed")
    end(record, create="done", track="done")

    store.flag_stalled()

    assert now(record).review == ""


def test_it_is_flagged_again_if_a_webhook_clears_the_review_and_no_job_is_left(record):
    end(record, create="done", track="done")
    store.flag_stalled()
    Transaction.objects.update(review="")
    store.flag_stalled()  # the end of the walk
    store.flag_stalled()

    assert now(record).review == "stalled"


def test_the_search_reads_a_batch_a_step(alice, third, monkeypatch):
    monkeypatch.setattr(store, "WALKED_AT_ONCE", 2)
    records = [accepted(alice, third) for _ in range(5)]
    for record in records:
        end(record, create="done", track="done")

    counts = []
    for _ in range(3):
        store.flag_stalled()
        counts.append(Transaction.objects.filter(review="stalled").count())

    assert counts == [2, 4, 5]


# --- polls


def test_polling_waits_while_the_create_waits(record, far):
    run(job(record, "track"))

    assert (again(job(record, "track")).last_error, far.methods) == ("waits for the create", [])


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_a_poll_that_finds_nothing_is_given_up_if_no_create_is_left(record, state):
    end(record, create=state)

    assert run(job(record, "track")).state == "failed"
    assert facts(record) == ("pending", "unsent", "given_up")


@pytest.mark.parametrize("word", ["completed", "declined", "pending"])
def test_a_poll_finds_what_was_created_although_no_create_is_left(record, far, word):
    end(record, create="done")
    far.on("GET", Answer(200, {"status": word}))

    run(job(record, "track"))

    assert facts(record) == (word, "created", "")


@pytest.mark.parametrize("answer", [Answer(500), Answer(503), Answer(lost=True)])
def test_a_failed_poll_is_repeated_although_no_create_is_left(record, far, answer):
    end(record, create="done")
    far.on("GET", answer)

    assert run(job(record, "track")).state == "waiting"
