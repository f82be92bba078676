"""Claiming, settling and recovering, against a real PostgreSQL."""

import contextlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from tests.cast import accepted, due_now, job, make_client, make_provider, now
from tests.running import again, change, claim, expire, settle, wait_of
from tests.threads import aside, at_once, errors
from tests.workers.probe import new_job, new_jobs, states
from transactions.config import clear_caches
from transactions.models import CallbackSecret, Client
from transactions.news import News
from transactions.services import tell_again
from transactions.status import Source, Status
from webhooks.outgoing.notify import Answer as Confirmed
from workers import jobs, registry, sql
from workers.jobs import Lost
from workers.models import Attempt, Job
from workers.registry import Again, Call, Done, Failed, Outcome, Wake

pytestmark = pytest.mark.django_db
several = pytest.mark.django_db(transaction=True)

DOUBTFUL: Any = "doubtful"
CALL = Call("GET", "http://far/1", datetime(2026, 1, 2, tzinfo=UTC), 12, http_status=200, excerpt="ok")


def lane(found, name="x1"):
    [it] = [one for one in found if one.lane == name]
    return it


# --- claiming


def test_a_claim_takes_a_due_job_and_says_all_of_it(probe):
    new = new_job(step=3, crashes=1, attempt=6, key="k")

    [claimed] = probe.claim()

    found = again(new)
    assert (found.state, found.attempt) == ("running", 7)
    assert found.lease_until is not None
    assert (found.lease_until - found.updated_at).total_seconds() == pytest.approx(30, abs=0.01)
    assert (claimed.id, claimed.transaction_id, claimed.kind, claimed.key) == (new.pk, new.transaction_id, "probe", "k")
    assert (claimed.attempt, claimed.step, claimed.crashes, claimed.lost_at) == (7, 3, 1, None)
    assert (claimed.claimed_at, claimed.lease_until) == (found.updated_at, found.lease_until)


def test_a_claim_leaves_what_is_not_due(probe):
    new_job(due_in=0.5)

    assert probe.claim() == []


def test_a_claim_leaves_other_lanes_and_other_kinds(probe):
    new_job(lane="x2")
    new_job(kind="create")

    assert probe.claim() == []


@pytest.mark.parametrize("state", ["running", "done", "failed", "cancelled"])
def test_a_claim_takes_only_what_waits(probe, state):
    new_job(state=state, lease_until=Now() if state == "running" else None)

    assert probe.claim() == []


def test_the_oldest_come_first(probe):
    ages = [1, 9, 5, 3, 7]
    made = {age: new_job(due_in=-age) for age in ages}
    with connection.cursor() as cursor:  # an index that happens to be in that order must not be what decides it
        cursor.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")

    assert {claimed.id for claimed in probe.claim(3)} == {made[age].pk for age in (9, 7, 5)}


def test_a_claim_takes_no_more_than_asked(probe):
    new_jobs(5)

    assert len(probe.claim(3)) == 3


def test_the_limit_of_a_lane_counts_what_is_running_anywhere(probe):
    probe.limits["x1"] = 4
    new_jobs(10)
    assert len(probe.claim(3)) == 3

    found = lane(jobs.claim_lanes({"x1": 3}, [probe.kind]))

    assert (len(found.claims), found.room) == (1, 1)


def test_a_lane_over_its_limit_gives_nothing(probe):
    new_jobs(5)
    probe.claim(4)
    probe.limits["x1"] = 2

    assert probe.claim() == []


def test_a_stopped_lane_gives_nothing(probe):
    probe.limits["x1"] = 0
    new_job()

    assert probe.claim() == []


def test_a_lane_that_nobody_knows_gives_nothing(probe):
    new_job(lane="y1")

    assert probe.claim(lane="y1") == []


def test_several_lanes_in_one_claim_keep_their_own_limits(probe):
    probe.limits |= {"x1": 1, "x2": 2, "x3": 0}
    for name in ("x1", "x2", "x3", "x4"):
        new_jobs(3, lane=name)

    found = jobs.claim_lanes(dict.fromkeys(("x1", "x2", "x3", "x4"), 3), [probe.kind])

    assert {one.lane: len(one.claims) for one in found if one.claims} == {"x1": 1, "x2": 2, "x4": 3}


def test_a_claim_says_when_the_lanes_next_job_is_due(probe):
    new_job()
    new_job(due_in=50)
    new_job(due_in=20)

    assert lane(jobs.claim_lanes({"x1": 9}, [probe.kind])).next_in == pytest.approx(20, abs=0.5)


def test_a_lane_with_nothing_to_come_says_so(probe):
    assert lane(jobs.claim_lanes({"x1": 9}, [probe.kind])).next_in is None


def test_one_job_of_a_kind_and_transaction_at_a_time(probe):
    first, second = new_job(of=(of := uuid4()), key="1", due_in=-2), new_job(of=of, key="2")
    [claimed] = probe.claim(1)
    assert claimed.id == first.pk

    assert probe.claim() == []
    settle(claimed, Outcome(Done()))
    assert [one.id for one in probe.claim()] == [second.pk]


def test_one_job_of_a_kind_and_transaction_at_a_time_when_both_are_due(probe):
    first, other = new_job(of=(of := uuid4()), key="1", due_in=-2), new_job()
    new_job(of=of, key="2", due_in=-1)

    assert {claimed.id for claimed in probe.claim()} == {first.pk, other.pk}


def test_jobs_of_other_kinds_of_the_transaction_do_not_wait(probe):
    new_job(of=(of := uuid4()), kind="track", state="running", lease_until=Now())
    new_job(of=of)

    assert len(probe.claim()) == 1


def test_a_client_that_asks_for_its_news_twice_gets_it(alice, third):
    record = accepted(alice, third)
    running = claim(job(record, "notify"))
    tell_again(record)
    settle(running, Outcome(Again(0.0, 1)))

    claims = jobs.claim_lanes({alice.settings.lane: 10}, [registry.kind("notify")])

    assert len(lane(claims, alice.settings.lane).claims) == 1


def test_a_paused_provider_gives_nothing(alice, third):
    accepted(alice, third)
    change(third, paused=True)

    assert jobs.claim_lanes({third.settings.lane: 10}, registry.kinds()) == []


def test_a_provider_gives_as_many_as_may_be_in_flight(alice, third):
    for _ in range(3):
        accepted(alice, third)
    change(third, max_in_flight=2)
    due_now()

    assert len(lane(jobs.claim_lanes({third.settings.lane: 10}, registry.kinds()), third.settings.lane).claims) == 2


def test_a_disabled_endpoint_gives_nothing(alice, third):
    accepted(alice, third)
    due_now()
    Client.objects.update(endpoint_disabled_at=Now())
    clear_caches()

    assert jobs.claim_lanes({alice.settings.lane: 10}, registry.kinds()) == []


def test_a_secret_that_no_key_opens_stops_nobody_elses_lane(probe, third):
    bob = make_client("bob", third.provider)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE transactions_callbacksecret SET secret = 'unreadable'")
    new_job()

    found = jobs.claim_lanes({f"c{bob.client.pk}": 10, "x1": 10}, [probe.kind])

    assert CallbackSecret.objects.count() == 1
    assert len(lane(found).claims) == 1


def test_headers_that_no_key_opens_stop_nobody_elses_lane(probe, db):
    other = make_provider("other")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE transactions_provider SET headers = 'unreadable'")
    new_job()

    found = jobs.claim_lanes({f"p{other.provider.pk}": 10, "x1": 10}, [probe.kind])

    assert len(lane(found).claims) == 1


@pytest.mark.parametrize("name", ["pnonsense", "c", "p-1", "p99999999999999999999"])
def test_a_lane_with_a_nonsensical_name_stops_no_other(probe, name):
    new_job()

    assert len(lane(jobs.claim_lanes({name: 10, "x1": 10}, [probe.kind])).claims) == 1


def test_claiming_by_name_ignores_time_and_limit(probe):
    probe.limits["x1"] = 0
    new = new_job(due_in=1000)

    assert claim(new).attempt == 1
    assert jobs.claim_one(new) is None


def test_claiming_by_name_waits_for_a_sibling(probe):
    new_job(of=(of := uuid4()), key="1", state="running", lease_until=Now())

    assert jobs.claim_one(new_job(of=of, key="2")) is None


def test_a_claim_knows_the_time_by_the_databases_clock(probe):
    claimed = probe.claim_new()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [time] = cursor.fetchone()

    assert (time - claimed.now()).total_seconds() == pytest.approx(0, abs=0.05)
    assert claimed.time_left() == pytest.approx(30, abs=0.1)


# --- two claims at once


@several
def test_no_job_is_claimed_twice(probe):
    new_jobs(60)

    results = at_once(*[lambda: [one.id for _ in range(5) for one in probe.claim(3)]] * 6)

    assert errors(results) == []
    taken = [one for ids in results for one in ids]
    assert len(taken) == len(set(taken)) == 60
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


@several
def test_the_limit_of_a_lane_holds_when_many_claim_at_once(probe):
    probe.limits["x1"] = 7
    new_jobs(60)

    results = at_once(*[lambda: probe.claim(5)] * 8)

    assert errors(results) == []
    assert states().count("running") == 7


@several
def test_claims_of_the_same_lanes_in_opposite_order_do_not_deadlock(probe):
    names = [f"x{number}" for number in range(20)]
    for name in names:
        new_jobs(10, lane=name)

    def take(order):
        for _ in range(10):
            jobs.claim_lanes(dict.fromkeys(order, 1), [probe.kind])

    assert errors(at_once(*(lambda order=order: take(order) for order in (names, names[::-1]) * 3))) == []


@several
def test_only_one_of_two_claims_by_name_gets_the_job(probe):
    new = new_job()

    results = at_once(*[lambda: jobs.claim_one(new)] * 6)

    assert errors(results) == []
    assert [one.attempt for one in results if one] == [1]


@several
def test_a_claim_does_not_wait_for_a_job_that_somebody_holds(probe):
    held, free = new_job(due_in=-5), new_job()
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=held.pk)

        assert [one.id for one in aside(probe.claim)] == [free.pk]


@several
def test_siblings_are_never_claimed_side_by_side(probe):
    of = uuid4()
    made = [new_job(of=of, key=str(number)) for number in range(6)]

    at_once(*(lambda one=one: (probe.claim(1), jobs.claim_one(one)) for one in made))

    assert states().count("running") == 1


# --- settling


@pytest.fixture
def claimed(probe):
    return probe.claim_new()


def row(claimed):
    return Job.objects.get(pk=claimed.id)


def test_done_ends_a_job(claimed):
    assert settle(claimed, Outcome(Done())) == []
    assert (row(claimed).state, row(claimed).lease_until) == ("done", None)


def test_failed_ends_a_job_with_its_reason(claimed):
    settle(claimed, Outcome(Failed("no use")))

    assert (row(claimed).state, row(claimed).last_error) == ("failed", "no use")


def test_again_puts_a_job_off_and_wakes_its_lane_then(claimed):
    wakes = settle(claimed, Outcome(Again(40.0, 5, "later")))

    found = row(claimed)
    assert (found.state, found.step, found.last_error) == ("waiting", 5, "later")
    assert wait_of(found) == pytest.approx(40, abs=0.01)
    assert wakes == [Wake("probe", "x1", 40.0)]


def test_again_without_a_step_keeps_it(probe):
    claimed = probe.claim_new(step=7)
    settle(claimed, Outcome(Again(1.0)))

    assert row(claimed).step == 7


@pytest.mark.parametrize("after", [-5.0, 0.0])
def test_again_at_once_is_due_at_once(probe, claimed, after):
    settle(claimed, Outcome(Again(after)))

    assert [one.id for one in probe.claim()] == [claimed.id]


def test_a_result_clears_what_was_lost_and_what_crashed(probe):
    claimed = probe.claim_new(crashes=3, lost_at=Now())
    settle(claimed, Outcome(Again(1.0)))

    assert (row(claimed).crashes, row(claimed).lost_at) == (0, None)


def test_a_handed_back_run_is_due_at_once_and_remembered_as_lost(probe, claimed):
    settle(claimed, Lost("handed back"))

    found = row(claimed)
    assert (found.state, found.crashes, found.last_error) == ("waiting", 0, "handed back")
    assert found.lost_at == pytest.approx(found.updated_at, abs=timedelta(seconds=0.01))
    assert probe.claim()[0].lost_at == found.lost_at


def test_a_crashed_run_counts_and_waits(claimed):
    settle(claimed, Lost("raised", after=9.0, crashed=True))

    assert row(claimed).crashes == 1
    assert wait_of(row(claimed)) == pytest.approx(9, abs=0.01)


def test_what_a_run_learnt_is_recorded_with_its_claim(probe, claimed):
    outcome = Outcome(Done(), "news")
    settle(claimed, outcome)

    assert probe.recorded == [(claimed, outcome)]


def test_a_lost_run_has_nothing_to_record(probe, claimed):
    settle(claimed, Lost("handed back"))

    assert probe.recorded == []


def test_what_recording_gave_work_to_is_woken(probe, claimed):
    probe.record = lambda settled: [Wake("notify", "c7")]

    assert settle(claimed, Outcome(Done())) == [Wake("notify", "c7")]


def test_every_call_is_kept(claimed):
    settle(claimed, Outcome(Done(), calls=(CALL, CALL)))

    [first, _] = Attempt.objects.all()
    assert (first.job_id, first.transaction_id, first.number) == (claimed.id, claimed.transaction_id, 1)
    assert (first.method, first.url, first.started_at, first.duration_ms) == (
        "GET", "http://far/1", CALL.started_at, 12
    )  # fmt: skip
    assert (first.http_status, first.error, first.excerpt) == (200, "", "ok")


def test_a_batch_settles_each_in_its_own_way(probe):
    claims = [probe.claim_new() for _ in range(3)]

    jobs.settle(list(zip(claims, (Outcome(Done()), Outcome(Failed("x")), Lost("y")), strict=True)))

    assert states() == ["done", "failed", "waiting"]


def test_a_sibling_that_waited_is_woken(probe):
    claimed = probe.claim_new(of=(of := uuid4()), key="1")
    new_job(of=of, key="2")

    assert settle(claimed, Outcome(Done())) == [Wake("probe", "x1")]


def test_a_batch_takes_few_statements(probe, django_assert_max_num_queries):
    results = [(probe.claim_new(), Outcome(Done(), calls=(CALL,))) for _ in range(20)]

    with django_assert_max_num_queries(6):  # two of them the savepoint of this test's transaction
        jobs.settle(results)


# --- fencing


@pytest.fixture
def overtaken(probe, claimed):
    """A claim whose lease ended and whose job somebody else has now."""
    expire(row(claimed))
    jobs.recover()
    [other] = probe.claim()
    assert (other.id, other.attempt) == (claimed.id, claimed.attempt + 1)
    return claimed


@pytest.mark.parametrize("outcome", [Outcome(Done(), "news", (CALL,)), Outcome(Failed("x"), "news", (CALL,))])
def test_a_run_that_lost_its_lease_leaves_only_its_calls(probe, overtaken, outcome):
    before = Job.objects.filter(pk=overtaken.id).values().get()

    assert settle(overtaken, outcome) == []

    assert Job.objects.filter(pk=overtaken.id).values().get() == before
    assert probe.recorded == []
    assert Attempt.objects.filter(method="GET", number=1).count() == 1


def test_a_run_that_lost_its_lease_cannot_put_its_job_off(overtaken):
    assert settle(overtaken, Outcome(Again(1000.0, 9))) == []
    assert (row(overtaken).state, row(overtaken).step) == ("running", 0)


def test_a_handed_back_run_that_lost_its_lease_changes_nothing(overtaken):
    settle(overtaken, Lost("handed back"))

    assert row(overtaken).state == "running"


def test_a_run_whose_lease_ended_unnoticed_still_settles(claimed):
    expire(row(claimed))
    settle(claimed, Outcome(Done()))

    assert row(claimed).state == "done"


def test_a_second_settle_changes_nothing(probe, claimed):
    settle(claimed, Outcome(Again(1.0, 1)))
    settle(claimed, Outcome(Failed("late")))

    assert row(claimed).state == "waiting"
    assert len(probe.recorded) == 1


def test_one_lost_lease_does_not_keep_the_batch_from_settling(probe, overtaken):
    other = probe.claim_new()
    jobs.settle([(overtaken, Outcome(Done(), calls=(CALL,))), (other, Outcome(Done(), calls=(CALL,)))])

    assert (row(overtaken).state, row(other).state) == ("running", "done")


# --- what cannot be stored


def poison(which):
    return {
        "nul in an error": Outcome(Again(1.0, why="a\x00b")),
        "nul in a call": Outcome(Done(), calls=(Call("GET", "u", CALL.started_at, 1, excerpt="a\x00b"),)),
        "half a character": Outcome(Failed("a\ud800b")),
        "endless": Outcome(Again(float("inf"))),
        "too long": Outcome(Done(), calls=(Call("GETGETGET", "u", CALL.started_at, 1),)),
    }[which]


@pytest.mark.parametrize("which", ["nul in an error", "nul in a call", "half a character", "endless", "too long"])
def test_one_outcome_that_cannot_be_stored_fails_alone(probe, which):
    claims = [probe.claim_new() for _ in range(4)]
    outcomes = [Outcome(Done()), poison(which), Outcome(Again(5.0)), Outcome(Done())]

    jobs.settle(list(zip(claims, outcomes, strict=True)))

    assert states() == ["done", "failed", "waiting", "done"]
    assert "could not be stored" in row(claims[1]).last_error


def test_a_status_that_cannot_be_stored_fails_its_job_alone(alice, third):
    claims = [claim(job(accepted(alice, third), "create")) for _ in range(3)]
    words = [Status.COMPLETED, DOUBTFUL, Status.DECLINED]

    jobs.settle([(c, Outcome(Done(), News(Source.CREATE, status=w))) for c, w in zip(claims, words, strict=True)])

    assert [Job.objects.get(pk=one.id).state for one in claims] == ["done", "failed", "done"]


def test_a_create_whose_outcome_cannot_be_stored_may_have_happened(alice, third):
    record = accepted(alice, third)
    claimed = claim(job(record, "create"))

    settle(claimed, Outcome(Done(), News(Source.CREATE, status=DOUBTFUL, began_at=claimed.now())))

    row = now(record)
    assert row.review == "given_up"
    assert (row.submission, row.create_began_at is not None) == ("unknown", True)


def test_the_calls_of_an_outcome_that_cannot_be_stored_are_kept(alice, third):
    claimed = claim(job(accepted(alice, third), "create"))

    settle(claimed, Outcome(Done(), News(Source.CREATE, status=DOUBTFUL), (CALL,)))

    assert Attempt.objects.filter(job=claimed.id).count() == 1


def test_a_recording_that_breaks_settles_the_others_of_its_batch(probe):
    """A bug in one kind's code must not cost the results of calls that were made."""
    broken, fine = probe.claim_new(), probe.claim_new()

    def record(settled):
        if any(outcome.news == "strange" for _, outcome in settled):
            raise LookupError("a bug")
        return []

    probe.record = record

    jobs.settle([(fine, Outcome(Done())), (broken, Outcome(Done(), "strange"))])

    assert (row(fine).state, row(broken).state) == ("done", "failed")


# --- recovering


def test_an_expired_lease_comes_back_at_once_with_the_time_it_ended(probe, claimed):
    expire(row(claimed), 3)
    ended = row(claimed).lease_until

    assert jobs.recover() == ["x1"]

    found = row(claimed)
    assert (found.state, found.lease_until, found.lost_at, found.crashes) == ("waiting", None, ended, 1)
    assert "lost" in found.last_error
    [next_claim] = probe.claim()
    assert (next_claim.lost_at, next_claim.crashes, next_claim.attempt) == (ended, 1, 2)


def test_a_lease_that_holds_is_left_alone(claimed):
    assert jobs.recover() == []
    assert row(claimed).state == "running"


def test_a_lost_run_is_seen_by_operators(claimed):
    expire(row(claimed))
    jobs.recover()

    [lost] = Attempt.objects.all()
    assert (lost.job_id, lost.number, lost.duration_ms) == (claimed.id, 1, None)
    assert "lost" in lost.error


def test_after_max_crashes_in_a_row_it_is_given_up(probe, settings):
    claimed = probe.claim_new(crashes=settings.MAX_CRASHES - 1)
    expire(row(claimed))

    jobs.recover()

    assert row(claimed).state == "failed"
    assert f"{settings.MAX_CRASHES} times" in row(claimed).last_error


def test_before_that_it_is_not(probe, settings):
    claimed = probe.claim_new(crashes=settings.MAX_CRASHES - 2)
    expire(row(claimed))
    jobs.recover()

    assert row(claimed).state == "waiting"


@pytest.mark.parametrize("kind", ["create", "track"])
def test_a_job_that_is_given_up_asks_for_a_look(alice, third, settings, kind):
    record = accepted(alice, third)
    settings.MAX_CRASHES = 1
    claim(job(record, kind))
    expire(job(record, kind))

    jobs.recover()

    assert (job(record, kind).state, now(record).status, now(record).review) == ("failed", "pending", "given_up")


def test_a_create_that_is_given_up_remembers_that_it_may_have_begun(alice, third, settings):
    record = accepted(alice, third)
    settings.MAX_CRASHES = 1
    claim(job(record, "create"))
    expire(job(record, "create"))

    jobs.recover()

    assert (now(record).submission, now(record).create_began_at is not None) == ("unknown", True)


def test_a_given_up_job_that_cannot_be_ended_now_is_not_run_soon(probe, settings, monkeypatch):
    """Its worker dies between the two steps: the job must not kill the next worker a second later."""
    claimed = probe.claim_new(crashes=settings.MAX_CRASHES - 1)
    expire(row(claimed))
    monkeypatch.setattr(jobs, "give_up", lambda *_: None)

    jobs.recover()

    assert wait_of(row(claimed)) > 3000


@several
def test_two_who_recover_at_once_count_a_crash_once(probe):
    claimed = probe.claim_new()
    expire(row(claimed))

    results = at_once(*[jobs.recover] * 6)

    assert errors(results) == []
    assert (row(claimed).crashes, Attempt.objects.count()) == (1, 1)


@several
def test_a_recovery_does_not_wait_for_a_settle_under_way(probe):
    claimed = probe.claim_new()
    expire(row(claimed))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.OWNED, {"jobs": json.dumps([{"id": claimed.id, "attempt": claimed.attempt}])})

        assert aside(jobs.recover) == []


# --- settling at the same time


@several
def test_settles_of_one_transactions_jobs_do_not_deadlock(alice, third):
    """Two workers settle batches that touch the same transactions, each in its own order."""
    records = [accepted(alice, third) for _ in range(2)]
    creates, tracks = ([claim(job(one, kind)) for one in records] for kind in ("create", "track"))
    gate, kinds = threading.Barrier(2), {kind.name: kind for kind in registry.kinds()}

    def meeting(settled):
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(1)
        return kinds["create"].record(settled)

    slow = {name: replace(kinds[name], record=meeting) for name in ("create", "track")}
    with mock.patch.dict(registry._kinds, slow):
        news = Outcome(Done(), News(Source.POLL))
        results = at_once(
            lambda: jobs.settle([(creates[0], news), (tracks[1], news)]),
            lambda: jobs.settle([(creates[1], news), (tracks[0], news)]),
        )

    assert errors(results) == []


@several
def test_confirmations_and_news_of_the_same_transactions_do_not_deadlock(alice, third):
    records = [accepted(alice, third) for _ in range(60)]
    due_now(kind="notify")
    kinds = registry.kind("notify"), registry.kind("create")

    for _ in range(5):
        Job.objects.exclude(kind="track").update(state="waiting", lease_until=None, run_at=Now())
        notices, creates = (
            [one for found in jobs.claim_lanes({lane: 100}, [kind]) for one in found.claims]
            for lane, kind in ((alice.settings.lane, kinds[0]), (third.settings.lane, kinds[1]))
        )
        told = [(one, Outcome(Done(), Confirmed(1))) for one in reversed(notices)]
        created = [(one, Outcome(Done(), News(Source.CREATE))) for one in creates]
        results = at_once(partial(jobs.settle, told), partial(jobs.settle, created))
        assert errors(results) == []
        assert len(notices) == len(creates) == len(records)


# --- what is due


def test_it_names_the_lanes_that_are_due_and_when(probe):
    new_job(due_in=-5)
    new_job(due_in=0.5, lane="x2")
    new_job(due_in=0.2, lane="x2")
    new_job(due_in=30, lane="x3")
    new_job(lane="x4", state="done")

    found = dict(jobs.due_lanes(1.0))

    assert set(found) == {"x1", "x2"}
    assert found["x1"] == 0
    assert found["x2"] == pytest.approx(0.2, abs=0.1)


def test_nothing_waits_nowhere(db):
    assert jobs.due_lanes(1.0) == []


def test_jobs_far_in_the_future_hide_no_due_one(probe):
    new_jobs(200, due_in=5000)
    new_jobs(200, due_in=5000, lane="x0")
    new_job(due_in=-1)

    assert [name for name, _ in jobs.due_lanes(1.0)] == ["x1"]
    assert len(probe.claim()) == 1


def rows_read(statement, params):
    """How many rows of jobs a statement reads, those it throws away among them."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE workers_job")
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, params)
        [[plan]] = cursor.fetchall()

    def walk(node):
        read = 0
        if node.get("Relation Name") == "workers_job" and "Scan" in node["Node Type"]:
            read = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        return read + sum(walk(child) for child in node.get("Plans", []))

    return walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


@pytest.mark.parametrize("due_in", [5000, -5000])
def test_looking_for_due_lanes_does_not_read_the_jobs_in_them(probe, due_in):
    new_jobs(3000, due_in=due_in)

    assert rows_read(sql.DUE_LANES, {"ahead": 1.0}) < 50


def test_a_claim_does_not_read_the_jobs_that_are_not_due(probe):
    new_jobs(3000, due_in=5000)
    new_job()
    want = [{"lane": "x1", "n": 250, "cap": 1000}]

    params = {"want": json.dumps(want), "kinds": json.dumps([{"kind": "probe", "lease": 30.0}])}
    assert rows_read(sql.CLAIM, params) < 50


def test_a_claim_from_a_lane_at_its_limit_does_not_read_what_is_overdue(probe):
    new_jobs(3000, due_in=-5000)
    want = [{"lane": "x1", "n": 250, "cap": 0}]

    params = {"want": json.dumps(want), "kinds": json.dumps([{"kind": "probe", "lease": 30.0}])}
    assert rows_read(sql.CLAIM, params) < 50


def test_the_database_refuses_a_job_that_cannot_be(probe):
    new = new_job()
    for wrong in ({"state": "odd"}, {"state": "running"}, {"lease_until": Now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(pk=new.pk).update(**wrong)
    assert again(new).state == "waiting"
