"""Concurrent webhooks, status checks and creates."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from providers.status import Status
from tests.cast import accepted, now
from tests.threads import at_once, errors
from tests.webhooks.senders import recorded, refusals, send, signed, tell, words
from transactions.models import Event
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Source
from transactions.store import apply
from webhooks.models import Webhook
from workers.models import Job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


def together(works: list[Callable[[], Any]]) -> None:
    """Run these concurrently; none may fail."""
    assert errors(at_once(*works)) == []


def notifications() -> list[str]:
    """Keys of the waiting notifications."""
    return list(Job.objects.filter(kind="notify", state="waiting").values_list("key", flat=True))


@pytest.mark.parametrize("senders", [2, 10])
def test_the_same_webhook_many_times_at_once_has_one_effect(third, record, senders):
    headers = signed(third.secret, words(record.id))

    answers = at_once(*[lambda: send("/webhooks/third", words(record.id), headers) for _ in range(senders)])

    assert {answer.status_code for answer in answers} == {204}
    assert list(Webhook.objects.values_list("result", "repeats")) == [("applied", senders - 1)]
    assert Event.objects.count() == 2
    assert (now(record).sequence, now(record).review) == (2, "")
    assert notifications() == ["seq:2"]


def test_different_webhooks_at_once_with_one_word_have_one_effect(third, record):
    together([partial(tell, third, record.id, "completed", f"msg_{n}") for n in range(10)])

    assert Counter(recorded()) == {"applied": 1, "late": 9}
    assert now(record).sequence == 2
    assert notifications() == ["seq:2"]


def test_of_contradicting_webhooks_at_once_the_first_wins(third, record):
    said = ["completed", "declined"]

    together([partial(tell, third, record.id, word, f"msg_{n}") for n, word in enumerate(said)])

    assert Counter(recorded()) == {"applied": 1, "contradicting": 1}
    assert now(record).status == Webhook.objects.get(result="applied").word
    assert now(record).review == "contradiction"
    assert notifications() == ["seq:2"]


def test_a_webhook_and_a_poll_at_once_have_one_effect(third, record):
    news = Observation(Source.POLL, status=Status.COMPLETED)

    together([partial(tell, third, record.id), partial(apply, [(record.id, news)])])

    assert recorded() in (["applied"], ["late"])
    assert Event.objects.filter(sequence=2).count() == 1
    assert notifications() == ["seq:2"]


def test_webhooks_of_many_transactions_at_once_are_all_applied(alice, third):
    records = [accepted(alice, third) for _ in range(10)]

    together([partial(tell, third, one.id, webhook=f"msg_{n}") for n, one in enumerate(records)])

    assert recorded() == ["applied"] * 10


def test_refusals_at_once_are_all_counted(third, record):
    together([lambda: send("/webhooks/third", words(record.id)) for _ in range(10)])

    assert refusals() == {"missing_headers": 10}
