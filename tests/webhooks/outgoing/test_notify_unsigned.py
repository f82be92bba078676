"""A notification is never sent unsigned: it waits until its client has a live callback secret."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from clients.models import CallbackSecret, Client
from operators.credentials import add_secret
from tests.cast import accepted, clear_caches, due_now, job
from tests.management import said
from tests.running import claim, perform, run, tries, wait_of
from webhooks.outgoing.deliveries import DeliveryResult
from workers import jobs, kinds
from workers.lanes import Lane
from workers.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["deleted", "expired", "long expired", "created by hand"])
def unsigned(request, alice, third):
    """A client without a live callback secret, and the job of a notification that is due."""
    secrets = CallbackSecret.objects.filter(client=alice.client)
    if request.param == "created by hand":
        secrets.delete()
        CallbackSecret.objects.create(client=Client.objects.create(name="bob"), secret=alice.secret)
    elif request.param == "deleted":
        secrets.delete()
    else:
        secrets.update(expires_at=Now() - timedelta(days=30 if "long" in request.param else 0))
    clear_caches()
    record = accepted(alice, third)
    due_now()
    return job(record, "notify")


def claimed(of: Job) -> list[int]:
    """Return the jobs that a worker claims from the lane of this job."""
    lanes = jobs.claim_lanes({Lane(of.lane): 10}, [kinds.kind_of("notify")])
    return [one.id for lane in lanes for one in lane.claims]


def test_no_worker_claims_it(unsigned):
    assert claimed(unsigned) == []
    assert Job.objects.get(pk=unsigned.pk).state == "waiting"


def test_it_is_claimed_once_a_secret_exists(unsigned, alice):
    claimed(unsigned)
    add_secret(alice.client)
    clear_caches()  # within two seconds in all processes

    assert claimed(unsigned) == [unsigned.pk]


def test_a_run_of_it_makes_no_call_and_uses_no_try(unsigned, endpoint, alice):
    Job.objects.filter(pk=unsigned.pk).update(tries=8)  # after the last retry
    found = run(unsigned)

    assert (found.state, found.tries, tries(found), endpoint.asked) == ("waiting", 8, [], [])
    assert "no valid callback secret" in found.last_error
    assert wait_of(found) <= 10


def test_many_runs_of_it_neither_fail_nor_count_as_failures_of_the_endpoint(unsigned, alice):
    for _ in range(12):
        found = run(unsigned)

    assert found.state == "waiting"
    assert Client.objects.get(pk=alice.client.pk).endpoint_failing_since is None


def test_it_is_sent_signed_once_a_secret_exists(unsigned, endpoint, alice):
    run(unsigned)
    add_secret(alice.client)
    clear_caches()

    assert run(unsigned).state == "done"
    assert endpoint.asked[0].headers["webhook-signature"].startswith("v1,")


def test_the_handler_itself_makes_no_call(unsigned, endpoint):
    outcome = perform(claim(unsigned))

    assert (outcome.calls, endpoint.asked) == ((), [])
    assert not isinstance(outcome.result, DeliveryResult)


def test_runjob_says_why_it_waits(unsigned, endpoint, capsys):
    assert said("runjob", str(unsigned.pk)) == f"{unsigned.pk}: waiting\n"
    assert "no valid callback secret" in capsys.readouterr().err
    assert endpoint.asked == []
