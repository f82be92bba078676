"""Webhooks during an outage of a store, and webhooks without a length."""

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection

from providers.settings import provider_by_slug, slugs
from tests.asgi import Body, ask
from tests.cast import Third, accepted, clear_caches, now
from tests.transactions.api.callers import LARGEST, problem
from tests.transactions.api.outages import SPOILED, broker_away, database_away, database_read_only
from tests.webhooks.senders import everything, recorded, refusals, send, send_signed, signed, words
from transactions.snapshot import TransactionSnapshot
from webhooks.incoming.refusals import write_counts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _new_connection(transactional_db: None) -> Iterator[None]:
    """Close dead connections, as Django does at the end of a request and its test client does not."""
    yield
    connection.close()


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


def settings_known(known: bool) -> None:
    """Cache the provider, or clear the caches."""
    (slugs(), provider_by_slug("third")) if known else clear_caches()


def chunked(third: Third, body: bytes) -> int:
    """The status of the answer to a signed body without a length."""
    headers = signed(third.secret, body[: LARGEST + 1]) | {"Transfer-Encoding": "chunked"}
    return ask("/webhooks/third", headers, Body([body]))[0]


@pytest.mark.parametrize("known", [True, False])
def test_without_the_database_it_answers_503_with_retry_after(third, record, known):
    before = everything()
    settings_known(known)
    with database_away():
        answer = send_signed(third, words(record.id))

    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert everything() == before


def test_a_refused_webhook_needs_no_database_and_is_counted_once_it_is_back(third, record):
    settings_known(True)
    with database_away():
        answers = [send("/webhooks/third", words(record.id)), send("/webhooks/nobody", words(record.id))]
        with pytest.raises(OperationalError):
            write_counts()

    assert [answer.status_code for answer in answers] == [401, 404]
    assert refusals() == {"missing_headers": 1, "unknown_provider": 1}


def test_the_same_webhook_is_applied_once_the_database_is_back(third, record):
    with database_away():
        send_signed(third, words(record.id))

    assert send_signed(third, words(record.id)).status_code == 204
    assert recorded() == ["applied"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("spoil", SPOILED)
def test_it_is_applied_on_a_new_connection(third, record, known, spoil):
    settings_known(known)
    spoil()

    assert send_signed(third, words(record.id)).status_code == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_refused_webhook_is_counted_on_a_new_connection(third, record, spoil):
    settings_known(True)
    spoil()

    assert send("/webhooks/third", words(record.id)).status_code == 401
    assert refusals() == {"missing_headers": 1}


def test_a_read_only_database_answers_503_with_retry_after(third, record):
    before = everything()
    with database_read_only():
        answer = send_signed(third, words(record.id))

    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert everything() == before


def test_without_the_broker_it_is_applied(third, record):
    with broker_away():
        assert send_signed(third, words(record.id)).status_code == 204

    assert now(record).status == "completed"


def test_a_body_without_a_length_is_read(third, record):
    assert chunked(third, words(record.id)) == 204
    assert now(record).status == "completed"


def test_a_large_body_without_a_length_is_refused(third, record):
    body = words(record.id)

    assert chunked(third, body + b" " * (LARGEST + 1 - len(body))) == 413
    assert (recorded(), refusals()) == ([], {"too_large": 1})
