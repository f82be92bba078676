from collections.abc import Iterator

import pytest
from django.core.management.base import CommandError
from django.db import connection

from tests.cast import Caller, accepted, job, make_client, now
from tests.management import said
from tests.servers import Answer, Server, serving
from tests.transactions.api.outages import SPOILED, make_read_only
from workers import jobs
from workers.jobs import run_job
from workers.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint() -> Iterator[Server]:
    with serving() as server:
        server.on("POST", Answer(204, body=b""))
        yield server


@pytest.fixture
def bob(third, endpoint) -> Caller:
    """A client whose endpoint answers."""
    return make_client("bob", third.provider, callback_url=endpoint.url)


def test_it_runs_a_job_that_is_not_due_and_prints_its_state(bob, third, endpoint):
    record = accepted(bob, third)
    notify = job(record, "notify")

    assert said("runjob", str(notify.pk)) == f"{notify.pk}: done\n"
    assert endpoint.asked[0].json["data"]["id"] == record.client_ref
    assert now(record).notified_sequence == 1


def test_it_runs_several_in_their_order(bob, third, endpoint):
    first, second = (job(accepted(bob, third), "notify").pk for _ in range(2))

    assert said("runjob", str(second), str(first)) == f"{second}: done\n{first}: done\n"
    assert len(endpoint.asked) == 2


def test_a_job_that_has_to_wait_says_so(alice, third):
    create = job(accepted(alice, third), "create")

    assert said("runjob", str(create.pk)) == f"{create.pk}: waiting\n"  # no server listens at the provider's address
    assert Job.objects.get(pk=create.pk).claim_count == 1


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_a_job_that_is_not_waiting_is_left_as_it_is(bob, third, endpoint, state):
    notify = job(accepted(bob, third), "notify")
    Job.objects.filter(pk=notify.pk).update(state=state)

    assert said("runjob", str(notify.pk)) == f"{notify.pk}: {state}\n"
    assert endpoint.asked == []


def test_a_job_is_run_once_however_often_it_is_named(bob, third, endpoint):
    notify = job(accepted(bob, third), "notify")

    said("runjob", str(notify.pk), str(notify.pk))

    assert len(endpoint.asked) == 1


def test_an_unknown_job_number_is_an_error(db):
    with pytest.raises(CommandError, match="no job 7"):
        said("runjob", "7")


def test_jobs_that_ran_before_the_error_stay_done(bob, third, endpoint):
    notify = job(accepted(bob, third), "notify")

    with pytest.raises(CommandError):
        said("runjob", str(notify.pk), "7")
    assert Job.objects.get(pk=notify.pk).state == "done"


@pytest.mark.parametrize("words", [(), ("x",), ("1.5",)])
def test_it_wants_numbers(db, words):
    with pytest.raises(CommandError):
        said("runjob", *words)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("spoil", SPOILED)
def test_it_runs_a_job_on_a_new_connection(bob, third, endpoint, spoil):
    """In AWS Lambda, a process keeps its connection from one call to the next."""
    notify = job(accepted(bob, third), "notify")
    spoil()

    assert run_job(notify.pk) == "done"
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_the_result_of_a_run_is_stored_after_a_failover_during_the_run(bob, third, endpoint, monkeypatch):
    notify = job(accepted(bob, third), "notify")
    alone = jobs._run_alone

    def fail_over_meanwhile(*work):
        make_read_only()
        return alone(*work)

    monkeypatch.setattr(jobs, "_run_alone", fail_over_meanwhile)

    assert run_job(notify.pk) == "done"
    assert len(endpoint.asked) == 1
    connection.close()
