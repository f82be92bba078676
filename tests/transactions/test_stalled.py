"""Transactions without progress: flagged as stalled after STALLED_AFTER, cleared by the next usable answer."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from tests.cast import accepted, job, make_provider, now
from tests.running import change, facts, run, tell, timeline
from tests.servers import Answer
from tests.threads import at_once, await_sessions_end
from transactions import sql
from transactions.models import Event, Transaction
from transactions.store import flag_stalled
from workers.models import Breaker, Job

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

AFTER = 300


def ago(seconds):
    return Now() - timedelta(seconds=seconds)


def stuck(record, seconds=AFTER + 1):
    """Move the start of the failing calls to so many seconds ago, as if time had passed."""
    Transaction.objects.filter(pk=record.id, stuck_since__isnull=False).update(stuck_since=ago(seconds))


def waiting_behind_breaker(record, third, kind="create", due=AFTER + 1, opened=AFTER + 60):
    """Open the provider's breaker, with a job that has been due for so many seconds."""
    lane = third.provider.lane
    Breaker.objects.update_or_create(lane=lane, kind=kind, defaults={"opened_at": ago(opened), "probe_at": Now()})
    Job.objects.filter(transaction_id=record.id, kind=kind).update(run_at=ago(due))


@pytest.fixture
def created(record):
    """Return the job `track` of a transaction that the provider has confirmed."""
    Transaction.objects.filter(pk=record.id).update(submission="created", seen_at=Now())
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="done")
    return job(record, "track")


# --- flagged


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(500), "500"),
        (Answer(503, body=b"<html>down"), "503"),
        (Answer(429), "429"),
        (Answer(lost=True), "Server disconnected"),
    ],
)
@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_transaction_whose_calls_only_fail_is_flagged_with_the_last_error(request, record, far, answer, words, kind):
    if kind == "track":
        request.getfixturevalue("created")
    far.on("GET", answer)
    run(job(record, kind))
    run(job(record, kind))
    stuck(record)

    flag_stalled()

    row = now(record)
    assert (row.status, row.review) == ("pending", "stalled")
    assert words in row.review_why
    assert Event.objects.get(transaction_id=record.id, kind="review").detail == {
        "review": "stalled",
        "why": row.review_why,
    }


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://nowhere.invalid", "https://10.0.0.1"])
def test_a_transaction_that_cannot_be_sent_is_flagged(record, creating, third, url):
    change(third, base_url=url)
    run(creating)
    stuck(record)
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "stalled")
    assert "not sent" in now(record).review_why


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_transaction_whose_creates_are_unknown_is_flagged(record, creating, far, status):
    far.on("POST", Answer(status))
    run(creating)
    stuck(record)
    flag_stalled()

    assert facts(record) == ("pending", "unknown", "stalled")
    assert str(status) in now(record).review_why


@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_transaction_that_waits_behind_an_open_breaker_is_flagged(record, third, kind):
    waiting_behind_breaker(record, third, kind)
    flag_stalled()

    assert now(record).review == "stalled"
    assert "circuit breaker" in now(record).review_why


def test_it_is_flagged_once(record, creating, far):
    far.on("GET", Answer(500))
    run(creating)
    stuck(record)
    for _ in range(3):
        flag_stalled()
        run(creating)

    assert [kind for kind, *_ in timeline(record)] == ["status", "review"]


@pytest.mark.parametrize("number", [1, 3, 10])
def test_many_are_flagged_in_steps(alice, third, monkeypatch, number):
    monkeypatch.setattr("transactions.store.STALLED_AT_ONCE", 3)
    for _ in range(number):
        accepted(alice, third)
    Transaction.objects.update(stuck_since=ago(AFTER + 1))
    steps = 1
    while flag_stalled():
        steps += 1

    assert Transaction.objects.filter(review="stalled").count() == number
    assert steps == number // 3 + 1


# --- not flagged


@pytest.mark.parametrize("seconds", [0, 100, AFTER - 5])
def test_a_transaction_whose_calls_fail_for_a_shorter_time_is_not_flagged(record, creating, far, seconds):
    far.on("GET", Answer(500))
    run(creating)
    stuck(record, seconds)
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "")


@pytest.mark.parametrize(("seconds", "flag"), [(50, ""), (70, "stalled"), (AFTER, "stalled")])
def test_the_setting_decides(record, creating, far, settings, seconds, flag):
    settings.STALLED_AFTER = 60
    far.on("GET", Answer(500))
    run(creating)
    stuck(record, seconds)
    flag_stalled()

    assert now(record).review == flag


@pytest.mark.parametrize("answers", [[200], [200, 200, 200], [500, 200], [500, 500, 200]])
def test_a_transaction_that_is_polled_well_is_not_flagged(record, created, far, answers):
    far.on("GET", *(Answer(status, {"status": "pending"}) for status in answers))
    for _ in answers:
        run(created)
    stuck(record)
    flag_stalled()

    assert facts(record) == ("pending", "created", "")


def test_a_transaction_that_was_never_called_is_not_flagged(record):
    Transaction.objects.update(created_at=ago(9999))
    Job.objects.update(run_at=ago(9999))
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "")


@pytest.mark.parametrize("why", ["failing calls", "an open breaker", "both"])
def test_a_transaction_of_a_paused_provider_is_not_flagged(record, creating, far, third, why):
    """An operator has paused it and knows; the flags of all its transactions would hide others."""
    if why != "an open breaker":
        far.on("GET", Answer(500))
        run(creating)
        stuck(record)
    if why != "failing calls":
        waiting_behind_breaker(record, third)
    change(third, paused=True)
    flag_stalled()
    assert facts(record) == ("pending", "unsent", "")

    change(third, paused=False)
    flag_stalled()
    assert facts(record) == ("pending", "unsent", "stalled")


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_final_transaction_is_not_flagged(record, creating, far, third, status):
    far.on("GET", Answer(500))
    run(creating)
    stuck(record)
    tell(record, status)
    waiting_behind_breaker(record, third)
    flag_stalled()

    assert (now(record).review, now(record).stuck_since) == ("", None)


@pytest.mark.parametrize("review", ["unreadable", "credentials", "denied", "overdue", "given_up"])
def test_another_flag_is_kept(record, creating, far, review):
    Transaction.objects.update(review=review, review_why="as it was", stuck_since=ago(9999))
    flag_stalled()

    assert (now(record).review, now(record).review_why) == (review, "as it was")


@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_closed_breaker_flags_nothing(record, third, kind):
    waiting_behind_breaker(record, third, kind)
    Breaker.objects.update(opened_at=None, probe_at=None)
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "")


@pytest.mark.parametrize("due", [-60, 0, AFTER - 5])
def test_jobs_that_are_due_for_a_shorter_time_are_not_flagged(record, third, due):
    waiting_behind_breaker(record, third, due=due)
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "")


def test_the_breaker_of_another_provider_flags_nothing(record):
    waiting_behind_breaker(record, make_provider("other"))
    flag_stalled()

    assert facts(record) == ("pending", "unsent", "")


# --- cleared


@pytest.fixture
def stalled(record, created, far):
    """Return the job `track` of a stalled transaction."""
    far.on("GET", Answer(500))
    run(created)
    stuck(record)
    flag_stalled()
    assert facts(record) == ("pending", "created", "stalled")
    return created


@pytest.mark.parametrize("answer", [Answer(200, {"status": "pending"}), Answer(404)])
def test_progress_clears_it_with_an_event(record, stalled, far, answer):
    far.on("GET", answer)
    run(stalled)

    row = now(record)
    assert (row.review, row.review_why, row.stuck_since) == ("", "", None)
    assert Event.objects.filter(transaction_id=record.id).latest("id").detail == {"review": "", "was": "stalled"}


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_final_status_clears_it(record, stalled, far, status):
    far.on("GET", Answer(200, {"status": status}))
    run(stalled)

    assert facts(record) == (status, "created", "")
    assert now(record).stuck_since is None


@pytest.mark.parametrize("status", ["completed", "declined", "failed"])
def test_a_webhook_with_a_final_status_clears_it(record, stalled, status):
    tell(record, status)

    assert facts(record) == (status, "created", "")


@pytest.mark.parametrize("answer", [Answer(500), Answer(429), Answer(lost=True), Answer(302)])
def test_answers_that_bring_nothing_do_not_clear_it(record, stalled, far, answer):
    far.on("GET", answer)
    run(stalled)

    assert now(record).review == "stalled"


def test_it_is_flagged_again_after_the_next_failures(record, stalled, far):
    far.on("GET", Answer(200, {"status": "pending"}), Answer(503))
    run(stalled)
    run(stalled)
    flag_stalled()
    assert now(record).review == ""

    stuck(record)
    flag_stalled()
    assert now(record).review == "stalled"


@pytest.mark.parametrize("answer", [Answer(201, {"status": "pending"}), Answer(201, body=b""), Answer(409)])
def test_a_create_that_succeeds_clears_it(record, creating, far, answer):
    far.on("GET", Answer(500), Answer(404), Answer(200, {"status": "pending"}))
    far.on("POST", answer)
    run(creating)
    stuck(record)
    flag_stalled()
    run(creating)

    assert facts(record) == ("pending", "created", "")


# --- the statement


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("why", ["failing calls", "an open breaker"])
def test_processes_at_the_same_time_flag_once(alice, third, why):
    records = [accepted(alice, third) for _ in range(50)]
    if why == "failing calls":
        Transaction.objects.update(stuck_since=ago(AFTER + 1))
    else:
        for record in records:
            waiting_behind_breaker(record, third)

    results = at_once(*[flag_stalled] * 4)
    flag_stalled()  # rows that another process held are left to the next step
    await_sessions_end()

    assert results == [False] * 4
    assert Event.objects.filter(kind="review").count() == 50
    assert Transaction.objects.filter(review="stalled").count() == 50


@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_process_holds_delays_nobody(alice, third):
    first, second = (accepted(alice, third) for _ in range(2))
    Transaction.objects.update(stuck_since=ago(AFTER + 1))
    with transaction.atomic():
        Transaction.objects.select_for_update().get(pk=first.id)
        assert at_once(flag_stalled) == [False]
    await_sessions_end()

    assert (now(first).review, now(second).review) == ("", "stalled")


@pytest.mark.parametrize("flagged", [0, 20_000])
def test_the_search_reads_few_of_many_rows(alice, third, flagged):
    """Neither transactions that progress nor those that are flagged already cost a read."""
    record = accepted(alice, third)
    columns = [str(field.column) for field in Transaction._meta.local_concrete_fields]
    copied = ", ".join(
        {
            "id": "gen_random_uuid()",
            "sort_id": "gen_random_uuid()",
            "client_ref": "'many-' || n",
            "stuck_since": f"CASE WHEN n <= {flagged} THEN now() - interval '1 hour' END",
            "review": f"CASE WHEN n <= {flagged} THEN 'stalled' ELSE '' END",
        }.get(name, name)
        for name in columns
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO transactions_transaction ({', '.join(columns)}) SELECT {copied}"  # noqa: S608  constants
            " FROM transactions_transaction, generate_series(1, 30000) AS n WHERE id = %s",
            [str(record.id)],
        )
        Transaction.objects.filter(pk=record.id).update(stuck_since=ago(AFTER + 1))
        cursor.execute("ANALYZE transactions_transaction")
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql.FLAG_STALLED}", {"after": AFTER, "most": 500, "jobless": []}
        )
        [(plan,)] = cursor.fetchall()

    scans = list(_nodes(plan[0]["Plan"]))
    assert "Seq Scan" not in {node["Node Type"] for node in scans if node.get("Relation Name", "") in BIG}
    assert max(node.get("Rows Removed by Filter", 0) for node in scans) < 100
    assert now(record).review == "stalled"


BIG = ("transactions_transaction", "workers_job")


def _nodes(node):
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
