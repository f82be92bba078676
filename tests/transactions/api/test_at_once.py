"""Concurrent requests."""

import json
from collections import Counter

import pytest

from tests.cast import clear_caches
from tests.threads import at_once
from tests.transactions.api.callers import Api, stored
from transactions.models import Transaction
from workers.models import Job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize("known", [True, False])
def test_fifty_identical_posts_make_one_transaction(alice, known):
    Api(alice).get() if known else clear_caches()

    answers = at_once(*[lambda: Api(alice).post(metadata={"a": "b"}) for _ in range(50)])

    assert Counter(answer.status_code for answer in answers) == {202: 1, 200: 49}
    assert sum("Idempotent-Replayed" in answer for answer in answers) == 49
    assert len({json.dumps(answer.json()) for answer in answers}) == 1
    assert stored() == (1, 1, 3)


def test_one_of_several_different_posts_with_one_id_is_accepted(alice):
    answers = at_once(*[lambda amount=n: Api(alice).post(amount=amount) for n in range(1, 21)])

    assert Counter(answer.status_code for answer in answers) == {202: 1, 422: 19}
    [accepted] = [answer.json()["amount"] for answer in answers if answer.status_code == 202]
    assert Transaction.objects.get().amount == accepted


def test_posts_with_ids_of_their_own_are_all_accepted(alice, mallory):
    answers = at_once(*[lambda who=who, n=n: Api(who).post(id=f"{n}") for who in (alice, mallory) for n in range(10)])

    assert {answer.status_code for answer in answers} == {202}
    assert stored() == (20, 20, 60)


def test_twenty_concurrent_requests_schedule_one_notification(alice):
    Api(alice).post()
    Job.objects.filter(kind="notify").update(state="done")

    answers = at_once(*[lambda: Api(alice).notify("order-1") for _ in range(20)])

    assert {answer.status_code for answer in answers} == {202}
    assert Job.objects.filter(kind="notify", state="waiting").count() == 1
