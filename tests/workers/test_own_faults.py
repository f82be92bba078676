"""Limits of the service's own host: no try is used, no breaker counts them, and the job runs again soon."""

import asyncio
import errno
import os
import resource
import socket
from contextlib import contextmanager

import pytest

from tests.cast import accepted, job
from tests.running import again, change, claim, perform, run, wait_of
from tests.servers import Answer, serving
from tests.workers.calls import failed
from tests.workers.probe import new_job
from transactions.models import Transaction
from workers import own_faults
from workers.breaker import BreakerStatistics
from workers.foundation import descriptors
from workers.models import Breaker, Job
from workers.outbound import NotSent, OutcomeUnknown
from workers.outcomes import Again

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ERRORS: list[Exception] = [OSError(number, os.strerror(number)) for number in sorted(own_faults.ERRNOS)]
ERRORS += [MemoryError(), RuntimeError("can't start new thread")]
NOT_OURS: list[Exception] = [OSError(errno.ECONNREFUSED, "refused"), OSError(errno.EHOSTUNREACH, "away")]
NOT_OURS += [TimeoutError(), OSError("odd")]


@contextmanager
def no_open_files():
    """Leave no descriptor to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def broken(monkeypatch):
    """Makes each new connection raise the error."""

    def make(error):
        async def connect(*args, **kwargs):
            raise error

        monkeypatch.setattr("aiohappyeyeballs.start_connection", connect)

    return make


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_call_that_meets_a_limit_of_the_host_is_not_sent_and_not_made(broken, error):
    broken(error)

    call = failed(NotSent, "http://127.0.0.1:9/")

    assert not call.made
    assert call.error.startswith(own_faults.PREFIX)


@pytest.mark.parametrize("error", NOT_OURS, ids=repr)
def test_other_errors_are_those_of_the_other_side(broken, error):
    broken(error)

    assert failed(NotSent, "http://127.0.0.1:9/").made


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]", "[::ffff:127.0.0.1]"])
def test_an_ipv6_address_on_a_host_without_ipv6_is_no_limit_of_the_host(broken, host):
    broken(OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"))

    allowed = [host.strip("[]")]
    assert failed(NotSent, f"http://{host}:9/", allowed=allowed).made


def test_a_name_that_cannot_be_resolved_is_the_other_sides_fault_while_files_can_be_opened(monkeypatch):
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert own_faults.limit_of(error) == ""

    monkeypatch.setattr(own_faults, "_can_open", lambda: False)
    assert own_faults.limit_of(error) == "EMFILE"


def test_files_that_cannot_be_opened_are_noticed():
    assert own_faults._can_open()
    with no_open_files():
        assert not own_faults._can_open()


@pytest.mark.parametrize("error", ERRORS[:3], ids=repr)
def test_a_call_that_breaks_off_after_the_connection_may_have_taken_effect(monkeypatch, error):
    async def write(*args, **kwargs):
        raise error

    monkeypatch.setattr("aiohttp.client_reqrep.ClientRequest.send", write)
    with serving() as far:
        call = failed(OutcomeUnknown, far.url, "POST", body=b"{}")

    assert not call.made


# --- the handlers


@pytest.mark.parametrize("kind", ["create", "track", "notify"])
@pytest.mark.parametrize("error", [ERRORS[0], MemoryError(), RuntimeError("can't start new thread")], ids=repr)
def test_no_try_is_used_and_the_job_runs_again_soon(alice, third, broken, settings, kind, error):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    broken(error)
    record = accepted(alice, third)
    if kind == "track":
        Transaction.objects.filter(pk=record.id).update(submission="created")
        Job.objects.filter(transaction_id=record.id, kind="create").update(state="done")
    found = job(record, kind)
    Job.objects.filter(pk=found.pk).update(tries=7, claim_count=30)

    after = run(again(found))

    assert (after.state, after.tries, after.crashes, after.lost_at) == ("waiting", 7, 0, None)
    assert 0.5 < wait_of(after) < 4
    assert not Breaker.objects.filter(runs__gt=0).exists()


@pytest.mark.parametrize("error", ERRORS[:3], ids=repr)
def test_a_create_that_breaks_off_after_the_connection_is_unknown_and_uses_no_try(alice, third, monkeypatch, error):
    with serving() as far:
        change(third, base_url=far.url, check_before_create=False)
        far.on("POST", Answer(201))
        creating = job(accepted(alice, third), "create")

        async def send(*args, **kwargs):
            raise error

        monkeypatch.setattr("aiohttp.client_reqrep.ClientRequest.send", send)
        outcome = perform(claim(creating))

    assert outcome.result.submission == "unknown"
    assert isinstance(outcome.next, Again)
    assert outcome.next.tries == 0


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_poll_is_repeated(alice, third, broken, settings, count):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    broken(ERRORS[0])
    record = accepted(alice, third)
    Transaction.objects.filter(pk=record.id).update(submission="created", created_at="2020-01-01T00:00Z")
    Job.objects.filter(transaction_id=record.id, kind="create").update(state="done")
    for _ in range(count):
        assert run(job(record, "track")).state == "waiting"


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_handler_that_raises_such_an_error_has_not_crashed(probe, error):
    async def handle(work, http):
        raise error

    probe.handle = handle
    found = new_job(crashes=4)

    after = run(found)

    assert (after.state, after.crashes) == ("waiting", 0)
    assert after.lost_at is not None  # its calls may have begun


def test_a_probe_that_meets_a_limit_neither_closes_nor_delays_a_breaker(alice, third, broken, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    broken(ERRORS[0])
    claimed = claim(job(accepted(alice, third), "create"))
    statistics = BreakerStatistics()

    statistics.note(claimed, perform(claimed))

    assert not statistics._counts


# --- the limit on open files


@pytest.mark.parametrize("soft", [64, 256, 1000])
def test_the_soft_limit_is_raised_to_the_hard_one(soft):
    async def in_a_child():
        code = (
            "import resource; from workers.foundation.descriptors import raise_limit;"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, 2000)); print(raise_limit())"
        )
        child = await asyncio.create_subprocess_exec("python", "-c", code, stdout=-1)
        return (await child.communicate())[0]

    assert asyncio.run(in_a_child()) == b"2000\n"


@pytest.mark.parametrize(("limit", "runs"), [(1_048_576, 524_240), (1024, 464), (256, 80), (97, 1), (10, 1)])
def test_a_run_counts_for_two_open_files(limit, runs):
    assert descriptors.runs_within(limit) == runs


@pytest.mark.parametrize(("limit", "warned"), [(256, True), (10_095, True), (10_096, False), (1_048_576, False)])
def test_a_capacity_above_the_limit_on_open_files_is_a_warning_with_a_hint(settings, monkeypatch, limit, warned):
    from workers.checks import open_files

    settings.WORKER_CAPACITY = 5000
    monkeypatch.setattr(descriptors, "reachable_limit", lambda: limit)

    assert [(one.id, "10096" in str(one.hint)) for one in open_files()] == ([("workers.W001", True)] if warned else [])
