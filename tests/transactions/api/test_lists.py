import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from tests.cast import Caller, Third, accepted, make_provider
from tests.threads import at_once
from tests.transactions.api.callers import Api, problem
from transactions.models import Transaction

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

DAY = timedelta(days=1)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [one["id"] for one in answer.json()["results"]]


def b64(inside: str) -> str:
    return b64encode(inside.encode()).decode()


def follow(api: Api, link: str) -> Any:
    parts = urlsplit(link)
    return api.web.get(f"{parts.path}?{parts.query}")


def pages(api: Api, answer: Any, direction: str) -> Iterator[list[str]]:
    """Return the ids of this page and of the following pages."""
    while True:
        yield ids(answer)
        link = answer.json()[direction]
        if link is None:
            return
        answer = follow(api, link)


def aged(caller: Caller, third: Third, seconds: int, name: str) -> None:
    """Create a transaction that was accepted some time ago."""
    id_ = UUID(int=(time.time_ns() // 1_000_000 - seconds * 1000) << 80)
    Transaction.objects.create(
        id=id_, sort_id=id_, client=caller.client, client_ref=name, provider=third.provider, amount=1, currency="EUR"
    )  # fmt: skip


@pytest.fixture
def five(alice: Caller, third: Third) -> list[str]:
    """Return the ids of five transactions, newest first; within a millisecond their order is chance."""
    names = [accepted(alice, third, client_ref=f"order-{n}").client_ref for n in range(5)]
    in_order = Transaction.objects.order_by("-sort_id").values_list("client_ref", flat=True)
    assert set(in_order) == set(names)
    return list(in_order)


def test_it_is_empty_at_first(api):
    assert api.get().json() == {"next": None, "previous": None, "results": []}


def test_it_lists_the_newest_first(api, alice, third):
    for age in (2, 3, 1):
        aged(alice, third, age, f"of-{age}-seconds")

    assert ids(api.get()) == ["of-1-seconds", "of-2-seconds", "of-3-seconds"]


def test_it_lists_each_transaction_as_a_read_returns_it(api):
    api.post(reference="March", metadata={"a": "b"})

    assert api.get().json()["results"] == [api.get("/order-1").json()]


def test_it_lists_only_the_clients_own_transactions(api, stranger):
    api.post(id="hers")
    stranger.post(id="mine")

    assert (ids(api.get()), ids(stranger.get())) == (["hers"], ["mine"])


@pytest.mark.parametrize("name", ["status", "provider", "created_after", "created_before", "limit", "cursor"])
def test_a_filter_without_a_value_is_a_problem(api, name):
    """If it were ignored, a caller with an empty variable would get all transactions."""
    [error] = problem(api.get(**{name: ""}), 400, "invalid")["errors"]

    assert error["field"] == name


def test_a_page_has_20_transactions(api, alice, third):
    for _ in range(21):
        accepted(alice, third)

    assert [len(page) for page in pages(api, api.get(), "next")] == [20, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
def test_pages_in_both_directions_contain_each_transaction_once(api, five, limit):
    forward = list(pages(api, api.get(limit=limit), "next"))
    assert [name for page in forward for name in page] == five
    assert {len(page) for page in forward[:-1]} <= {limit}

    end = api.get(limit=limit)
    while link := end.json()["next"]:
        end = follow(api, link)

    assert list(pages(api, end, "previous"))[::-1] == forward


def test_new_transactions_do_not_move_the_pages(api, alice, third, five):
    first = api.get(limit=2)
    accepted(alice, third)

    second = follow(api, first.json()["next"])
    accepted(alice, third)

    assert ids(first) + ids(second) == five[:4]
    assert ids(follow(api, second.json()["previous"])) == five[:2]


def test_new_transactions_are_on_a_page_before_the_first(api, alice, third, five):
    second = follow(api, api.get(limit=2).json()["next"])
    aged(alice, third, -1, "new")
    first = follow(api, second.json()["previous"])

    assert ids(follow(api, first.json()["previous"])) == ["new"]


def test_a_transaction_that_leaves_the_filter_moves_no_other(api, five):
    """The transactions of the first page become final, so they leave the filtered list."""
    first = api.get(limit=2, status="pending")
    Transaction.objects.filter(client_ref__in=ids(first)).update(status="completed", finalised_at=datetime.now(UTC))

    second = follow(api, first.json()["next"])

    assert ids(second) == five[2:4]
    assert ids(follow(api, second.json()["next"])) == five[4:]


def test_a_cursor_is_valid_after_its_transaction_has_gone(api, five):
    first = api.get(limit=2)
    Transaction.objects.filter(client_ref__in=five[:3]).delete()

    assert ids(follow(api, first.json()["next"])) == five[3:]


@pytest.mark.django_db(transaction=True)
def test_every_page_is_complete_during_concurrent_posts(api, alice, third, five):
    def post() -> None:
        for _ in range(60):
            accepted(alice, third)

    def read() -> list[str]:
        return [name for page in pages(api, api.get(limit=2), "next") for name in page]

    _, *found = at_once(post, *[lambda: [read() for _ in range(5)]] * 2)

    for names in [*found[0], *found[1], read()]:
        assert names[-5:] == five
        assert len(set(names)) == len(names)


def test_links_keep_the_filters_and_the_limit(api, stranger, five):
    link = api.get(limit=2, status="pending", provider="third").json()["next"]

    assert {"limit=2", "status=pending", "provider=third"} < set(urlsplit(link).query.split("&"))


def test_a_cursor_shows_no_transaction_of_another_client(api, stranger, five):
    link = api.get(limit=2).json()["next"]

    assert ids(follow(stranger, link)) == []


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000", "x", "1.5", "1e1", "NaN", "9" * 2000])
def test_it_refuses_a_limit_that_is_not_from_1_to_100(api, limit):
    found = problem(api.get(limit=limit), 400, "invalid")

    assert [error["field"] for error in found["errors"]] == ["limit"]


@pytest.mark.parametrize("limit", ["1", "01", "1.0", " 1 "])
def test_it_accepts_every_spelling_of_a_limit(api, five, limit):
    assert len(ids(api.get(limit=limit))) == 1


@pytest.mark.parametrize(
    "cursor", ["x", "é", "x" * 256, b64("p=x"), b64("p=%00"), b64("o=x"), b64("o=-1"), b64("r=1&p=1")]
)
def test_it_refuses_an_invalid_cursor(api, five, cursor):
    problem(api.get(cursor=cursor), 400, "invalid")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "pending"}, ["waits", "elsewhere"]),
        ({"status": "completed"}, ["done"]),
        ({"status": "declined"}, []),
        ({"provider": "other"}, ["elsewhere"]),
        ({"provider": "third"}, ["done", "waits"]),
        ({"provider": "nobody"}, []),
        ({"status": "pending", "provider": "third"}, ["waits"]),
        ({"status": "completed", "provider": "other"}, []),
    ],
)
def test_it_filters_by_status_and_provider(api, filters, found):
    make_provider("other")
    api.post(id="waits")
    api.post(id="done")
    api.post(id="elsewhere", provider="other")
    Transaction.objects.filter(client_ref="done").update(status="completed", finalised_at=datetime.now(UTC))

    assert sorted(ids(api.get(**filters))) == sorted(found)


@pytest.mark.parametrize(
    ("after", "before", "found"),
    [
        (None, 0, ["first"]),
        (None, 1, ["first", "second"]),
        (0, None, ["third"]),
        (-2, None, ["first", "second", "third"]),
        (-1, 1, ["second"]),
        (1, 1, []),
    ],
)
def test_it_filters_by_the_time_of_acceptance(api, after, before, found):
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    for day, name in enumerate(["first", "second", "third"], start=-1):
        api.post(id=name)
        Transaction.objects.filter(client_ref=name).update(created_at=noon + day * DAY)
    bounds = {"created_after": after, "created_before": before}

    answer = api.get(**{name: (noon + days * DAY).isoformat() for name, days in bounds.items() if days is not None})

    assert sorted(ids(answer)) == found


@pytest.mark.parametrize(
    "written", ["2026-01-10T12:00:00Z", "2026-01-10T14:00:00+02:00", "2026-01-10T12:00:00.000000Z"]
)
def test_a_time_is_read_in_its_own_zone(api, written):
    api.post()
    Transaction.objects.update(created_at=datetime(2026, 1, 10, 12, 0, 0, 1, tzinfo=UTC))

    assert ids(api.get(created_after=written)) == ["order-1"]
    assert ids(api.get(created_before=written)) == []


def test_a_time_from_a_response_can_be_a_filter(api, five):
    newest = api.get(limit=1).json()["results"][0]["created_at"]

    assert newest not in [one["created_at"] for one in api.get(created_before=newest).json()["results"]]
    assert ids(api.get(created_after=newest)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"), ("status", "PENDING"), ("status", "pending,completed"), ("status", "\x00"),
        ("provider", "\x00"), ("provider", "x" * 51), ("provider", "Third"), ("provider", " "),
        ("created_after", "yesterday"), ("created_after", "1767225600"), ("created_after", "2026-13-01T00:00:00Z"),
        ("created_before", "2026-02-30T00:00:00Z"), ("created_before", "9999-12-31T23:59:59-23:59"),
        ("created_before", "0001-01-01T00:00:00+23:59"), ("created_before", "\x00"),
    ],
)  # fmt: skip
def test_it_refuses_an_invalid_filter(api, name, value):
    found = problem(api.get(**{name: value}), 400, "invalid")

    assert {error["field"] for error in found["errors"]} == {name}


@pytest.mark.parametrize("name", ["format", "page", "callback"])
def test_no_parameter_changes_the_kind_of_response(api, name):
    assert api.get(**{name: "xml"}).status_code in (200, 400)


def test_it_reads_a_page_in_a_fixed_number_of_queries(api, five, django_assert_max_num_queries):
    api.get()  # caches the settings

    with django_assert_max_num_queries(1):
        assert len(ids(api.get())) == 5


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("state=pending", [("state", "unknown")]),
        ("status=pending&status=declined", [("status", "repeated")]),
        ("limit=1&limit=1&foo=", [("foo", "unknown"), ("limit", "repeated")]),
    ],
)
def test_an_unknown_or_repeated_filter_is_refused(api, query, wrong):
    errors = problem(api.get(f"?{query}"), 400, "invalid")["errors"]

    assert [(error["field"], error["code"]) for error in errors] == wrong
