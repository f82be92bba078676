"""Claims of jobs on a real PostgreSQL."""

from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from clients.models import CallbackSecret, Client
from tests.cast import accepted, clear_caches, due_now, job, make_client, make_provider
from tests.running import again, change, claim, settle
from tests.threads import aside, at_once, errors
from tests.workers.probe import LANE, new_job, new_jobs, states
from transactions.notifications import notify_again
from workers import jobs, kinds
from workers.lanes import Lane
from workers.models import Job
from workers.outcomes import Again, Done, Outcome

pytestmark = pytest.mark.django_db
several = pytest.mark.django_db(transaction=True)


def lane(found, name=LANE):
    [it] = [one for one in found if one.lane == name]
    return it


# --- claiming


def test_a_claim_has_all_columns_of_a_due_job(probe):
    new = new_job(tries=3, crashes=1, claim_count=6, key="k")

    [claimed] = probe.claim()

    found = again(new)
    assert (found.state, found.claim_count) == ("running", 7)
    assert found.lease_until is not None
    assert (found.lease_until - found.updated_at).total_seconds() == pytest.approx(30, abs=0.01)
    assert (claimed.id, claimed.transaction_id, claimed.kind, claimed.key) == (new.pk, new.transaction_id, "track", "k")
    assert (claimed.claim_count, claimed.tries, claimed.crashes, claimed.lost_at) == (7, 3, 1, None)
    assert (claimed.claimed_at, claimed.lease_until) == (found.updated_at, found.lease_until)


def test_a_claim_leaves_jobs_that_are_not_due(probe):
    new_job(due_in=0.5)

    assert probe.claim() == []


def test_a_claim_leaves_other_lanes_and_other_kinds(probe):
    new_job(lane=Lane("x2"))
    new_job(kind="create")

    assert probe.claim() == []


@pytest.mark.parametrize("state", ["running", "done", "failed", "cancelled"])
def test_a_claim_takes_only_waiting_jobs(probe, state):
    new_job(state=state, lease_until=Now() if state == "running" else None)

    assert probe.claim() == []


def test_the_oldest_come_first(probe):
    ages = [1, 9, 5, 3, 7]
    made = {age: new_job(due_in=-age) for age in ages}
    with connection.cursor() as cursor:  # an index that happens to be in that order must not be what decides it
        cursor.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")

    assert {claimed.id for claimed in probe.claim(3)} == {made[age].pk for age in (9, 7, 5)}


def test_a_claim_takes_no_more_than_requested(probe):
    new_jobs(5)

    assert len(probe.claim(3)) == 3


def test_the_limit_of_a_lane_counts_running_jobs_of_all_workers(probe):
    probe.limits[Lane("x1")] = 4
    new_jobs(10)
    assert len(probe.claim(3)) == 3

    found = lane(jobs.claim_lanes({Lane("x1"): 3}, [probe.kind]))

    assert (len(found.claims), found.room) == (1, 1)


def test_a_lane_over_its_limit_gives_nothing(probe):
    new_jobs(5)
    probe.claim(4)
    probe.limits[Lane("x1")] = 2

    assert probe.claim() == []


def test_a_stopped_lane_gives_nothing(probe):
    probe.limits[Lane("x1")] = 0
    new_job()

    assert probe.claim() == []


def test_an_unknown_lane_gives_no_jobs(probe):
    new_job(lane=Lane("y1"))

    assert probe.claim(lane=Lane("y1")) == []


def test_several_lanes_in_one_claim_keep_their_own_limits(probe):
    probe.limits |= {Lane("x1"): 1, Lane("x2"): 2, Lane("x3"): 0}
    for name in (Lane("x1"), Lane("x2"), Lane("x3"), Lane("x4")):
        new_jobs(3, lane=name)

    found = jobs.claim_lanes(dict.fromkeys((Lane("x1"), Lane("x2"), Lane("x3"), Lane("x4")), 3), [probe.kind])

    assert {one.lane: len(one.claims) for one in found if one.claims} == {Lane("x1"): 1, Lane("x2"): 2, Lane("x4"): 3}


def test_a_claim_says_when_the_lanes_next_job_is_due(probe):
    new_job()
    new_job(due_in=50)
    new_job(due_in=20)

    assert lane(jobs.claim_lanes({Lane("x1"): 9}, [probe.kind])).next_in == pytest.approx(20, abs=0.5)


def test_a_lane_with_nothing_to_come_says_so(probe):
    assert lane(jobs.claim_lanes({Lane("x1"): 9}, [probe.kind])).next_in is None


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
    new_job(of=(of := uuid4()), kind="create", state="running", lease_until=Now())
    new_job(of=of)

    assert len(probe.claim()) == 1


def test_a_client_that_requests_a_notification_twice_gets_it(alice, third):
    record = accepted(alice, third)
    running = claim(job(record, "notify"))
    notify_again(record)
    settle(running, Outcome(Again(0.0, 1)))

    claims = jobs.claim_lanes({alice.settings.lane: 10}, [kinds.kind_of("notify")])

    assert len(lane(claims, alice.settings.lane).claims) == 1


def test_a_paused_provider_gives_nothing(alice, third):
    accepted(alice, third)
    change(third, paused=True)

    assert jobs.claim_lanes({third.settings.lane: 10}, kinds.all_kinds()) == []


def test_a_provider_gives_as_many_as_may_be_in_flight(alice, third):
    for _ in range(3):
        accepted(alice, third)
    change(third, max_in_flight=2)
    due_now()

    assert len(lane(jobs.claim_lanes({third.settings.lane: 10}, kinds.all_kinds()), third.settings.lane).claims) == 2


def test_a_disabled_endpoint_gives_nothing(alice, third):
    accepted(alice, third)
    due_now()
    Client.objects.update(endpoint_disabled_at=Now())
    clear_caches()

    assert jobs.claim_lanes({alice.settings.lane: 10}, kinds.all_kinds()) == []


def test_an_undecryptable_secret_stops_only_its_lane(probe, third):
    bob = make_client("bob", third.provider)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clients_callbacksecret SET secret = 'unreadable'")
    new_job()

    found = jobs.claim_lanes({Lane.client(bob.client.pk): 10, Lane("x1"): 10}, [probe.kind])

    assert CallbackSecret.objects.count() == 1
    assert len(lane(found).claims) == 1


def test_undecryptable_headers_stop_only_their_lane(probe, db):
    other = make_provider("notify")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE providers_provider SET headers = 'unreadable'")
    new_job()

    found = jobs.claim_lanes({Lane.provider(other.provider.pk): 10, Lane("x1"): 10}, [probe.kind])

    assert len(lane(found).claims) == 1


@pytest.mark.parametrize("name", ["pnonsense", "c", "p-1", Lane("p99999999999999999999")])
def test_a_lane_with_a_nonsensical_name_stops_no_other(probe, name):
    new_job()

    assert len(lane(jobs.claim_lanes({name: 10, Lane("x1"): 10}, [probe.kind])).claims) == 1


def test_claiming_by_name_ignores_time_and_limit(probe):
    probe.limits[Lane("x1")] = 0
    new = new_job(due_in=1000)

    assert claim(new).claim_count == 1
    assert jobs.claim_one(new) is None


def test_a_claim_by_id_waits_for_a_sibling(probe):
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
    assert set(Job.objects.values_list("claim_count", flat=True)) == {1}


@several
def test_the_limit_of_a_lane_holds_when_many_claim_at_once(probe):
    probe.limits[Lane("x1")] = 7
    new_jobs(60)

    results = at_once(*[lambda: probe.claim(5)] * 8)

    assert errors(results) == []
    assert states().count("running") == 7


@several
def test_claims_of_the_same_lanes_in_opposite_order_do_not_deadlock(probe):
    names = [Lane(f"x{number}") for number in range(20)]
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
    assert [one.claim_count for one in results if one] == [1]


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
