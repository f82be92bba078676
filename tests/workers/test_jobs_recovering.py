"""Recovery of expired leases, and the search for due lanes."""

import json

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from tests.cast import accepted, job, now
from tests.running import again, claim, expire, wait_of
from tests.threads import aside, at_once, errors
from tests.workers.probe import new_job, new_jobs
from workers import jobs, sql
from workers.lanes import Lane
from workers.models import Job, OutboundCall
from workers.outcomes import Done, Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
several = pytest.mark.django_db(transaction=True)


def row(claimed):
    return Job.objects.get(pk=claimed.id)


# --- recovering


def test_an_expired_lease_comes_back_at_once_with_the_time_it_ended(probe, claimed):
    expire(row(claimed), 3)
    ended = row(claimed).lease_until

    assert jobs.recover() == [Lane("x1")]

    found = row(claimed)
    assert (found.state, found.lease_until, found.lost_at, found.crashes) == ("waiting", None, ended, 1)
    assert "lost" in found.last_error
    [next_claim] = probe.claim()
    assert (next_claim.lost_at, next_claim.crashes, next_claim.claim_count) == (ended, 1, 2)


def test_a_lease_that_holds_is_left_alone(claimed):
    assert jobs.recover() == []
    assert row(claimed).state == "running"


def test_a_lost_run_is_seen_by_operators(claimed):
    expire(row(claimed))
    jobs.recover()

    [lost] = OutboundCall.objects.all()
    assert (lost.job_id, lost.attempt, lost.duration_ms) == (claimed.id, 1, None)
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
def test_two_concurrent_recoveries_count_a_crash_once(probe):
    claimed = probe.claim_new()
    expire(row(claimed))

    results = at_once(*[jobs.recover] * 6)

    assert errors(results) == []
    assert (row(claimed).crashes, OutboundCall.objects.count()) == (1, 1)


@several
def test_a_recovery_does_not_wait_for_a_settle_in_progress(probe):
    claimed = probe.claim_new()
    expire(row(claimed))
    with transaction.atomic():
        assert jobs._owned([(claimed, Outcome(Done()))])

        assert aside(jobs.recover) == []


# --- what is due


def test_due_lanes_have_the_seconds_until_they_are_due(probe):
    new_job(due_in=-5)
    new_job(due_in=0.5, lane=Lane("x2"))
    new_job(due_in=0.2, lane=Lane("x2"))
    new_job(due_in=30, lane=Lane("x3"))
    new_job(lane=Lane("x4"), state="done")

    found = dict(jobs.due_lanes(1.0))

    assert set(found) == {Lane("x1"), Lane("x2")}
    assert found[Lane("x1")] == 0
    assert found[Lane("x2")] == pytest.approx(0.2, abs=0.1)


def test_no_lane_is_due_without_jobs(db):
    assert jobs.due_lanes(1.0) == []


def test_jobs_in_the_far_future_hide_no_due_job(probe):
    new_jobs(200, due_in=5000)
    new_jobs(200, due_in=5000, lane=Lane("x0"))
    new_job(due_in=-1)

    assert [name for name, _ in jobs.due_lanes(1.0)] == [Lane("x1")]
    assert len(probe.claim()) == 1


def rows_read(statement, params):
    """Return the number of job rows that a statement reads, including those that it filters out."""
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


def claim_params(*, in_flight):
    one = {"lane": Lane("x1"), "kind": "track", "lease": 30.0, "n": 250, "in_flight": in_flight, "track": False}
    return {"want": json.dumps([one]), "ahead": 2.0}


@pytest.mark.parametrize("due_in", [5000, -5000])
def test_a_search_for_due_lanes_does_not_read_their_jobs(probe, due_in):
    new_jobs(3000, due_in=due_in)

    assert rows_read(sql.DUE_LANES, {"ahead": 1.0}) < 50


def test_a_claim_does_not_read_the_jobs_that_are_not_due(probe):
    new_jobs(3000, due_in=5000)
    new_job()
    params = claim_params(in_flight=1000)
    assert rows_read(sql.CLAIM, params) < 50


def test_a_claim_does_not_read_past_jobs_of_a_kind_that_is_held_back(probe):
    new_jobs(3000, due_in=-5000)
    Job.objects.update(kind="notify")
    new_job()

    assert rows_read(sql.CLAIM, claim_params(in_flight=1000)) < 50


def test_a_claim_from_a_lane_at_its_limit_does_not_read_overdue_jobs(probe):
    new_jobs(3000, due_in=-5000)
    params = claim_params(in_flight=0)
    assert rows_read(sql.CLAIM, params) < 50


def test_the_database_refuses_an_inconsistent_job(probe):
    new = new_job()
    for wrong in ({"state": "odd"}, {"state": "running"}, {"lease_until": Now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(pk=new.pk).update(**wrong)
    assert again(new).state == "waiting"
