"""Figures of jobs and workers for the dashboard: correct and bounded."""

import uuid
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from tests.workers.probe import new_job
from workers import statistics as overview
from workers.lanes import Lane
from workers.models import Job, OutboundCall, WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("probe")]


def queue(most=None):
    [found] = (one for one in overview.queues(most) if one.kind == "track")
    return found


def process(pid=1, silent_for=0.0, **fields):
    made = WorkerProcess.objects.create(id=uuid.uuid4(), host="host", pid=pid, queues="create", **fields)
    WorkerProcess.objects.filter(pk=made.pk).update(beat_at=Now() - timedelta(seconds=silent_for))


def called(job, http_status=200, ms=100, seconds_ago=1.0):
    OutboundCall.objects.create(
        job=job, transaction_id=job.transaction_id, attempt=1, duration_ms=ms, http_status=http_status,
        started_at=timezone.now() - timedelta(seconds=seconds_ago),
    )  # fmt: skip


def test_a_kind_without_jobs_is_listed_with_zeros():
    assert queue() == overview.Queue("track", due=0, oldest=0.0, running=0, failed=0)


def test_it_counts_only_due_running_and_failed_jobs(probe):
    probe.claim_new()
    new_job(due_in=-90)
    new_job(lane=Lane("x2"))
    new_job(due_in=60)
    for state in ("failed", "done", "cancelled"):
        Job.objects.filter(pk=new_job(lane=Lane("x3")).pk).update(state=state)

    found = queue()
    assert (found.due, found.running, found.failed) == (2, 1, 1)
    assert found.oldest == pytest.approx(90, abs=10)


def test_it_stops_counting_at_a_bound_and_marks_the_count():
    for n in range(8):
        new_job(lane=Lane(f"x{n % 2}"))
    for _ in range(4):
        Job.objects.filter(pk=new_job(lane=Lane("x3")).pk).update(state="failed")

    assert (str(queue(most=3).due), str(queue(most=3).failed)) == ("3 or more", "3 or more")
    assert (str(queue().due), str(queue().failed)) == ("8", "4")


def test_it_counts_by_lane_the_jobs_due_within_some_seconds(monkeypatch):
    monkeypatch.setattr(overview, "MOST_IN_A_LANE", 3)
    for _ in range(4):
        new_job()
    new_job(lane=Lane("x2"))
    new_job(lane=Lane("x2"), due_in=60)

    assert overview.lanes([Lane("x1"), Lane("x2"), Lane("x3")]) == {
        Lane("x1"): (3, 0),
        Lane("x2"): (1, 0),
        Lane("x3"): (0, 0),
    }
    assert overview.lanes([Lane("x2")], within=100) == {Lane("x2"): (2, 0)}


def test_it_counts_running_jobs_by_lane(probe):
    probe.claim_new()
    new_job(lane=Lane("x2"))

    assert overview.lanes([Lane("x1"), Lane("x2")]) == {Lane("x1"): (0, 1), Lane("x2"): (1, 0)}


def test_it_evaluates_a_lanes_latest_calls():
    job, other = new_job(), new_job(lane=Lane("x2"))
    for number, (status, ms) in enumerate([(200, 100), (404, 200), (504, 300), (429, 400), (None, 35_000)]):
        called(job, status, ms, seconds_ago=10 * number)
    called(other)

    calls = overview.latest_calls()
    assert calls.keys() == {Lane("x1"), Lane("x2")}
    assert (calls[Lane("x1")].count, calls[Lane("x1")].failed, calls[Lane("x1")].share) == (5, 3, 0.6)
    assert (calls[Lane("x1")].median, calls[Lane("x1")].p95) == (0.3, 35.0)
    assert calls[Lane("x1")].reach == pytest.approx(40, abs=10)


def test_it_ignores_old_calls_and_lost_runs():
    called(new_job(), seconds_ago=overview.WITHIN + 60)
    called(new_job(), ms=None)

    assert overview.latest_calls() == {}


def test_it_evaluates_the_latest_calls_only(monkeypatch):
    monkeypatch.setattr(overview, "LATEST", 2)
    for ms in (900, 100, 200):
        called(new_job(), ms=ms)

    assert (overview.latest_calls()[Lane("x1")].count, overview.latest_calls()[Lane("x1")].p95) == (2, 0.2)


def test_a_process_is_alive_until_it_has_been_silent_for_a_while():
    process(1, silent_for=WorkerProcess.SILENT_AFTER + 5, version="0.1.0")
    process(2, silent_for=2)

    assert [(one.name, one.version, one.alive) for one in overview.processes()] == [
        ("host/2", "", True), ("host/1", "0.1.0", False)
    ]  # fmt: skip
