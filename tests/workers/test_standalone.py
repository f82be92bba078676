"""Jobs without a worker: `manage.py runjob` and AWS Lambda."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from tests.cast import accepted, job, make_provider, now
from tests.running import change
from tests.servers import Answer, serving
from tests.workers.probe import TABLE, new_job
from workers import jobs, kinds
from workers.aws_lambda import handler
from workers.jobs import run_job
from workers.models import Job, JobKind
from workers.outcomes import Again, Claim, Done, Failed, Outcome, Wake

pytestmark = pytest.mark.django_db


@pytest.fixture
def far():
    with serving() as server:
        server.on("GET", Answer(404))
        server.on("POST", Answer(201, {"status": "completed"}))
        yield server


@pytest.fixture
def third(db, far):
    return make_provider(base_url=far.url)


def test_it_runs_a_job_to_its_end(alice, third, far):
    record = accepted(alice, third)

    assert run_job(job(record, "create").pk) == "done"
    assert now(record).status == "completed"
    assert far.methods == ["GET", "POST"]


@pytest.mark.parametrize(("next_", "state"), [(Again(9.0), "waiting"), (Failed("no"), "failed"), (Done(), "done")])
def test_it_returns_the_state_of_the_job(probe, next_, state):
    async def handle(work, http):
        return Outcome(next_)

    probe.handle = handle

    assert run_job(new_job(due_in=1000).pk) == state


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_it_leaves_a_job_that_is_not_waiting(probe, state):
    assert run_job(new_job(state=state).pk) == state
    assert probe.begun == []


def test_it_leaves_a_job_whose_sibling_runs(probe):
    claimed = probe.claim_new(key="1")

    assert run_job(new_job(of=claimed.transaction_id, key="2").pk) == "waiting"
    assert probe.begun == []


def test_a_handler_that_raises_counts_as_a_crash(probe):
    async def boom(work, http):
        raise LookupError("boom")

    probe.handle = boom
    new = new_job()

    assert run_job(new.pk) == "waiting"
    assert (Job.objects.get().crashes, Job.objects.get().lost_at is None) == (1, False)


def test_a_run_is_cut_off_before_its_lease_ends(probe, monkeypatch):
    async def endless(work, http):
        await asyncio.sleep(60)

    probe.handle = endless
    monkeypatch.setattr(kinds, "LEASE_MARGIN", probe.kind.lease - 0.1)

    assert run_job(new_job().pk) == "waiting"
    assert Job.objects.get().crashes == 1


def test_a_job_that_cannot_be_loaded_is_not_left_running(probe, monkeypatch):
    """No call has begun, so there is no reason to wait for its lease to end."""

    def load(claims):
        raise LookupError("no key opens this")

    monkeypatch.setitem(TABLE.kinds, JobKind.TRACK, replace(probe.kind, load=load))
    with contextlib.suppress(LookupError):
        run_job(new_job().pk)

    assert Job.objects.get().state != "running"


def test_a_job_that_has_nothing_left_to_do_is_done(alice, third, far):
    record = accepted(alice, third)
    run_job(job(record, "create").pk)
    Job.objects.filter(pk=job(record, "track").pk).update(state="waiting")

    assert run_job(job(record, "track").pk) == "done"
    assert far.methods == ["GET", "POST"]


def test_lanes_with_new_work_are_announced(alice, third, monkeypatch):
    told: list[Wake] = []
    monkeypatch.setattr(jobs, "announce", told.extend)
    record = accepted(alice, third)

    run_job(job(record, "create").pk)

    assert Wake("notify", alice.settings.lane) in told


def test_an_unknown_job_is_an_error(probe):
    with pytest.raises(Job.DoesNotExist):
        run_job(4711)


def test_the_handler_gets_a_claim_that_counts(probe):
    seen: list[Claim] = []

    async def handle(work, http):
        seen.append(work)
        return Outcome(Done())

    probe.handle = handle
    run_job(new_job(claim_count=4).pk)

    assert seen[0].claim_count == 5


# --- AWS Lambda and the command


def test_lambda_runs_each_job_of_its_event(probe):
    first, second = new_job(), new_job(state="cancelled")

    assert handler({"jobs": [first.pk, second.pk]}, None) == {str(first.pk): "done", str(second.pk): "cancelled"}


def test_lambda_takes_numbers_as_text(probe):
    new = new_job()

    assert handler({"jobs": [str(new.pk)]}, None) == {str(new.pk): "done"}


def test_lambda_runs_a_transaction_without_any_broker(alice, third, far):
    change(third, check_before_create=False)
    record = accepted(alice, third)
    create = job(record, "create").pk

    assert handler({"jobs": [create]}, None) == {str(create): "done"}
    assert now(record).status == "completed"


def test_the_command_prints_the_state_of_each_job(probe, capsys):
    first, second = new_job(), new_job()
    call_command("runjob", str(first.pk), str(second.pk))

    assert capsys.readouterr().out.splitlines() == [f"{first.pk}: done", f"{second.pk}: done"]


def test_the_command_refuses_an_unknown_job(probe):
    with pytest.raises(CommandError, match="There is no job 4711"):
        call_command("runjob", "4711")
