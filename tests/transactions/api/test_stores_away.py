"""Outages of the stores: refused and broken connections."""

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.cast import clear_caches
from tests.transactions.api.callers import Api, problem, stored
from tests.transactions.api.outages import (
    SPOILED,
    broker_away,
    crash_connection,
    database_away,
    database_read_only,
    make_read_only,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ENDPOINTS = [
    ("post", "/v1/transactions"),
    ("get", "/v1/transactions"),
    ("get", "/v1/transactions/order-1"),
    ("get", "/v1/transactions/order-1/events"),
    ("post", "/v1/transactions/order-1/notifications"),
]
every_endpoint = pytest.mark.parametrize(("method", "path"), ENDPOINTS)


@pytest.fixture(autouse=True)
def _new_connection(transactional_db: None) -> Iterator[None]:
    """Close dead connections, as Django does at the end of a request; its test client does not."""
    yield
    connection.close()


def settings_known(api: Api, known: bool) -> None:
    """Let the web process cache the settings of keys and providers; clear the cache unless `known`."""
    api.post(id="before")
    if not known:
        clear_caches()


@every_endpoint
def test_without_the_database_every_endpoint_answers_503_with_retry_after(api, method, path):
    with database_away():
        answer = getattr(api.web, method)(path)

    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("known", [True, False])
def test_a_post_that_was_not_stored_is_answered_503_with_retry_after(api, known):
    settings_known(api, known)
    with database_away():
        answer = api.post()

    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert stored() == (1, 1, 3)


def test_an_invalid_body_is_refused_without_the_database(api):
    settings_known(api, True)
    with database_away():
        problem(api.post(amount=0), 400, "invalid")


def test_the_answer_contains_no_message_of_the_database(api):
    with database_away():
        answer = api.post()

    assert b"nonexistent" not in answer.content
    assert b"socket" not in answer.content


def test_the_same_post_succeeds_once_the_database_is_back(api):
    with database_away():
        api.post()

    assert api.post().status_code == 202


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("spoil", SPOILED)
def test_a_post_succeeds_on_a_new_connection(api, known, spoil):
    settings_known(api, known)
    spoil()

    assert api.post().status_code == 202


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_notification_is_requested_on_a_new_connection(api, spoil):
    api.post(id="order-1")
    spoil()

    assert api.notify("order-1").status_code == 202


@pytest.mark.parametrize("post", [Api.post, lambda api: api.post(id="order-1"), lambda api: api.notify("order-1")])
def test_a_read_only_database_answers_posts_503_with_retry_after(api, post):
    api.post(id="order-1")
    with database_read_only():
        answers = [post(api) for _ in range(3)]

    for answer in answers:
        problem(answer, 503, "unavailable")
        assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize(("method", "path"), [one for one in ENDPOINTS if one[0] == "get"])
def test_a_read_only_database_can_be_read(api, method, path):
    api.post(id="order-1")
    with database_read_only():
        assert api.web.get(path).status_code == 200


def test_a_failed_record_of_a_key_s_use_drops_the_connection(api):
    make_read_only()
    dropped = connection.connection

    assert api.get().status_code == 200
    assert connection.connection is not dropped


def test_the_first_post_succeeds_once_the_database_can_be_written(api):
    with database_read_only():
        api.post()
    assert api.post().status_code == 202


def test_a_list_during_a_crash_of_the_database_is_answered_503_with_retry_after(api):
    settings_known(api, True)
    crash_connection()

    problem(api.web.get("/v1/transactions"), 503, "unavailable")


def test_without_the_broker_it_is_still_accepted(api):
    with broker_away():
        answers = [api.post(id=f"order-{n}").status_code for n in range(3)]

    assert answers == [202, 202, 202]
    assert stored() == (3, 3, 9)


def test_without_the_broker_a_notification_is_still_scheduled(api):
    api.post()
    with broker_away():
        assert api.notify("order-1").status_code == 202


@pytest.mark.parametrize("path", ["/v1/nothing", "/webhooks/no.body"])
def test_an_unknown_url_is_answered_404_without_the_database(api, path):
    with database_away():
        problem(api.web.get(path), 404, "not-found")
