"""Leases that expire during a run, and workers that claim the same job."""

from functools import partial

import pytest
from django.db import transaction

from tests.cast import due_now, job
from tests.races.amid import amid
from tests.running import again, expire, facts, run, timeline
from tests.servers import Answer, until
from tests.threads import aside, at_once, errors
from tests.workers.probe import all_done, new_job, new_jobs
from transactions.models import Transaction
from workers import jobs
from workers.dispatcher import Dispatcher
from workers.lanes import Lane
from workers.models import Job, OutboundCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_run_that_returns_after_its_successor_settled_records_only_its_call(record, far):
    Transaction.objects.update(submission="unknown")
    tracking = job(record, "track")
    with amid(tracking, far, "GET", Answer(200, {"status": "declined"})):
        expire(tracking)
        jobs.recover()
        far.on("GET", Answer(200, {"status": "completed"}))
        run(tracking)
        settled = Job.objects.values().get(pk=tracking.pk), timeline(record)

    assert facts(record) == ("completed", "created", "")
    assert (Job.objects.values().get(pk=tracking.pk), timeline(record)) == settled
    assert list(OutboundCall.objects.filter(job=tracking, method="GET").values_list("attempt", flat=True)) == [2, 1]


def test_a_run_that_returns_during_its_successors_run_does_not_affect_it(record, far):
    Transaction.objects.update(submission="unknown")
    tracking = job(record, "track")
    with amid(tracking, far, "GET", Answer(200, {"status": "declined"})):
        expire(tracking)
        jobs.recover()
        claimed = jobs.claim_one(tracking)
        assert claimed is not None

    assert facts(record) == ("pending", "unknown", "")
    assert (again(tracking).state, again(tracking).claim_count) == ("running", claimed.claim_count)


def test_a_second_dispatcher_skips_a_job_that_the_first_is_recovering(probe):
    lost = probe.claim_new()
    expire(Job.objects.get(pk=lost.id))
    with transaction.atomic():
        assert jobs.recover() == [Lane("x1")]
        assert aside(jobs.recover) == []

    assert (Job.objects.get(pk=lost.id).crashes, OutboundCall.objects.count()) == (1, 1)


def test_jobs_that_two_dispatchers_find_run_once(engines, probe):
    """The jobs are one with an expired lease and nine without a wake-up message."""
    lost = probe.claim_new()
    expire(Job.objects.get(pk=lost.id))
    new_jobs(9)
    both = [Dispatcher(engines(probe), queues=["track"]) for _ in range(2)]

    assert errors(at_once(*[one.tick for one in both])) == []

    until(all_done)
    assert sorted(work.id for work in probe.begun) == sorted(Job.objects.values_list("id", flat=True))
    assert Job.objects.get(pk=lost.id).crashes == 0
    assert OutboundCall.objects.filter(error__contains="lost").count() == 1


def test_concurrent_claims_by_id_and_by_lane_claim_a_job_once(probe):
    for _ in range(10):
        new = new_job()

        by_name, *by_lane = at_once(partial(jobs.claim_one, new), probe.claim, probe.claim)

        assert errors([by_name, *by_lane]) == []
        assert len([by_name] * (by_name is not None) + [one for found in by_lane for one in found]) == 1
        assert again(new).claim_count == 1
        due_now()
