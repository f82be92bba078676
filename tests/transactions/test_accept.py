import pytest

from tests.cast import Caller, Third, accepted, job, order
from transactions.models import Event, Transaction
from transactions.store import IdempotencyMismatch, accept
from workers.models import Job

pytestmark = pytest.mark.django_db


def test_it_stores_the_transaction_its_first_event_and_three_jobs(alice, third):
    record = accepted(alice, third)

    assert Transaction.objects.get().status == "pending"
    assert list(Event.objects.values_list("sequence", "source")) == [(1, "api")]
    assert sorted(Job.objects.values_list("kind", flat=True)) == ["create", "notify", "track"]
    assert (job(record, "notify").run_at - record.created_at).total_seconds() == pytest.approx(0.2)


def test_the_same_content_returns_the_same_transaction(alice: Caller, third: Third):
    same = order(third.settings)
    first, _ = accept(client=alice.settings, order=same)

    assert accept(client=alice.settings, order=same) == (first, False)
    assert Job.objects.count() == 3


@pytest.mark.parametrize("changed", [{"amount": 1}, {"currency": "USD"}, {"reference": "x"}, {"metadata": {"a": "b"}}])
def test_other_content_under_the_same_id_is_refused(alice, third, changed):
    accepted(alice, third, client_ref="same")

    with pytest.raises(IdempotencyMismatch):
        accept(client=alice.settings, order=order(third.settings, client_ref="same", **changed))


def test_another_client_may_use_the_same_id(alice, mallory, third):
    assert accepted(alice, third, client_ref="same").id != accepted(mallory, third, client_ref="same").id
