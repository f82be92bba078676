"""Filters of the operators' lists: the rows that each parameter selects."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from operators import search as finding
from tests.cast import accepted, due_now, job
from transactions.models import Transaction
from webhooks.models import RefusalCount, Webhook
from workers.foundation.ids import first_at, uuid7
from workers.lanes import Lane
from workers.models import Job

pytestmark = pytest.mark.django_db
LIMITS = {"hour": 3600, "day": 86_400, "week": 604_800, "10m": 600, "1h": 3600, "1d": 86_400}
MODELS = (Transaction, Job, Webhook, RefusalCount)


def made_ago(alice, third, seconds: float, **fields) -> UUID:
    """Create a transaction whose `sort_id` is `seconds` old, because filters read the age from it."""
    made = first_at(datetime.now(UTC) - timedelta(seconds=seconds)).int
    id_ = UUID(int=made | uuid7().int & (1 << 80) - 1)
    given = {"client": alice.client, "provider": third.provider, "amount": 1, "currency": "EUR", **fields}
    return Transaction.objects.create(id=id_, sort_id=id_, client_ref=str(id_), **given).pk


def final(status: str, **fields) -> dict[str, Any]:
    return {"status": status, "finalised_at": datetime.now(UTC), "sequence": 2, **fields}


def found(model=Transaction, **params: str) -> set[Any]:
    return set(finding.rows(model, params).values_list("pk", flat=True))


@pytest.mark.parametrize("age", ["hour", "day", "week"])
def test_age_is_a_maximum(alice, third, age):
    young, _ = made_ago(alice, third, LIMITS[age] - 5), made_ago(alice, third, LIMITS[age] + 5)

    assert found(age=age) == {young}


def test_older_means_more_than_a_week(alice, third):
    _, old = made_ago(alice, third, LIMITS["week"] - 5), made_ago(alice, third, LIMITS["week"] + 5)

    assert found(age="older") == {old}


@pytest.mark.parametrize("stuck", ["10m", "1h", "1d"])
def test_stuck_means_pending_for_longer(alice, third, stuck):
    _, old = made_ago(alice, third, LIMITS[stuck] - 5), made_ago(alice, third, LIMITS[stuck] + 5)
    made_ago(alice, third, LIMITS[stuck] + 5, **final("completed"))

    assert found(stuck=stuck) == {old}


def test_not_notified_means_final_and_not_confirmed_by_the_client(alice, third):
    made_ago(alice, third, 5)
    not_notified = {
        made_ago(alice, third, 5, **final(status, notified_sequence=1)) for status in ("completed", "failed")
    }
    made_ago(alice, third, 5, **final("declined", notified_sequence=2))

    assert found(stuck="not_notified") == not_notified


def test_ages_are_relative_to_the_given_time(alice, third):
    one = made_ago(alice, third, 4000)
    before = datetime.now(UTC) - timedelta(seconds=1000)

    assert set(finding.rows(Transaction, {"age": "hour"}, now=before).values_list("pk", flat=True)) == {one}
    assert found(age="hour") == set()


def test_filters_by_status_submission_and_review(alice, third):
    one = made_ago(alice, third, 5, **final("failed", submission="refused", review="contradiction"))
    made_ago(alice, third, 5, submission="unknown", review="overdue")
    made_ago(alice, third, 5)

    assert found(status="failed") == found(submission="refused") == found(review="contradiction") == {one}
    assert len(found(review="any")) == 2


def test_filters_by_the_keys_of_provider_and_client(alice, mallory, third):
    one = accepted(alice, third)
    accepted(mallory, third)

    assert found(client=str(alice.client.pk), provider=str(third.provider.pk)) == {one.id}


def test_combines_search_and_filters(alice, third):
    one = accepted(alice, third, reference="invoice 4711")

    assert found(q="invoice 4711", status="pending") == {one.id}
    assert found(q="invoice 4711", status="failed") == set()


def test_due_jobs_wait_and_have_reached_their_due_time(alice, third):
    one = accepted(alice, third, client_ref="order-7")
    Job.objects.update(run_at=datetime.now(UTC) + timedelta(hours=1))
    due_now(kind="track")

    assert found(Job, due="1") == found(Job, due="1", kind="track", q="order-7") == {job(one, "track").pk}
    Job.objects.update(state="done")
    assert found(Job, due="1") == set()


def test_filters_jobs_by_the_lane_of_a_provider_or_client(alice, mallory, third):
    one, other = accepted(alice, third), accepted(mallory, third)

    assert found(Job, lane=Lane.provider(third.provider.pk), kind="track") == {
        job(one, "track").pk,
        job(other, "track").pk,
    }
    assert found(Job, lane=Lane.client(alice.client.pk)) == {job(one, "notify").pk}
    Job.objects.filter(kind="notify").update(state="done")
    assert found(Job, lane=Lane.client(alice.client.pk)) == set()
    assert found(Job, lane=f"x{alice.client.pk}") == found(Job, lane="p") == set()


def test_filters_webhooks_by_result_and_provider(third):
    given = {"provider": third.provider, "given_id": "x"}
    one = Webhook.objects.create(webhook_id="1", result="late", **given)
    Webhook.objects.create(webhook_id="2", result="noted", **given)

    assert found(Webhook, result="late", provider=str(third.provider.pk)) == {one.pk}


@pytest.mark.parametrize("value", ["nonsense", "0", "any'", "-1", "10M", "Pending"])
@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_value_selects_no_rows(alice, third, model, value):
    accepted(alice, third)
    for each in finding.filters_of(model):
        assert found(model, **{each.name: value}) == set()


def test_an_unknown_parameter_is_refused_and_not_ignored():
    with pytest.raises(finding.UnknownFilter):
        finding.rows(Transaction, {"status": "pending", "amount__gte": "100"})


@pytest.mark.parametrize("model", MODELS)
def test_every_offered_value_has_its_own_condition(alice, third, model):
    accepted(alice, third)
    for each in finding.filters_of(model):
        for value, _ in each.choices():
            list(finding.rows(model, {each.name: value}))
            assert each.means(value, datetime.now(UTC)) != each.means("nonsense", datetime.now(UTC))


def test_the_ids_of_a_millisecond_start_at_first_at():
    made = uuid7()
    millisecond = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)

    assert first_at(millisecond) <= made < first_at(millisecond + timedelta(milliseconds=1))


def test_an_unknown_kind_selects_no_jobs(alice, third):
    accepted(alice, third)

    assert found(Job, kind="\x00") == found(Job, kind="other") == set()
