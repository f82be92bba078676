"""Isolation of clients: Mallory's valid key cannot read, change or detect a transaction of Alice.

The tests try every operation. The response to an id of Alice equals the response to an unknown id, but for the id.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client as Web
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from clients.models import Client
from tests.cast import Caller
from tests.transactions.api.callers import Api, content
from transactions.models import Event, Transaction
from txnproject.urls import urlpatterns
from workers.models import Job, OutboundCall

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

HERS = "order-of-alice"
NOBODYS = "order-of-erwin"  # of the same length as hers, so that lengths can be compared
METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
WITHOUT_ID = {
    ("get", "v1/transactions"),
    ("post", "v1/transactions"),
    ("get", "v1/endpoint"),
    ("post", "v1/endpoint/enable"),
}
"""Operations that name no transaction: each has its own test below."""
PUBLIC = {("get", "v1/schema")}
"""Operations with the same answer for every caller."""


def operations(found: list[Any] = urlpatterns, above: str = "") -> Iterator[tuple[str, str]]:
    """Return method and route of every operation under /v1."""
    for pattern in found:
        route = f"{above}{pattern.pattern}"
        if isinstance(pattern, URLResolver) and (above or route == "v1/"):
            yield from operations(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("v1/"):
            view: type = pattern.callback.view_class  # type: ignore[attr-defined]  # as_view() sets it
            yield from ((method, route) for method in METHODS if method != "options" and hasattr(view, method))


ROUTES = sorted({route for _, route in operations() if "<" in route})
every_way = pytest.mark.parametrize(("method", "route"), [(method, route) for route in ROUTES for method in METHODS])


def test_every_operation_is_tried():
    assert {(method, route) for method, route in operations() if "<" not in route} == WITHOUT_ID | PUBLIC
    assert all(re.fullmatch(r"[^<]*<str:id>[^<]*", route) for route in ROUTES), "say what else an id may be"


@pytest.fixture(autouse=True)
def _hers(alice: Caller) -> None:
    assert Api(alice).post(id=HERS, reference="of alice", metadata={"of": "alice"}).status_code == 202


@pytest.fixture
def mallorys(mallory: Caller) -> Web:
    return Web(raise_request_exception=False, headers=mallory.bearer)


def everything_of(caller: Caller) -> list[list[dict[str, Any]]]:
    """Return all stored data of a client."""
    transactions = Transaction.objects.filter(client=caller.client)
    ids = list(transactions.values_list("pk", flat=True))
    stored: tuple[QuerySet[Any], ...] = (
        Client.objects.filter(pk=caller.client.pk),
        transactions,
        Event.objects.filter(transaction_id__in=ids),
        Job.objects.filter(transaction_id__in=ids),
        OutboundCall.objects.filter(job__transaction_id__in=ids),
    )
    return [list(found.order_by("pk").values()) for found in stored]


def ask(web: Web, method: str, route: str, id_: str, **more: Any) -> tuple[int, dict[str, str], str]:
    """Return the whole response, with the requested id replaced."""
    answer = web.generic(method.upper(), f"/{route.replace('<str:id>', id_)}", **more)
    headers = {name: value.replace(id_, "ID") for name, value in answer.headers.items()}
    return answer.status_code, headers, answer.content.decode().replace(id_, "ID")


def test_the_comparison_detects_a_transaction_of_hers(alice):
    """Alice gets different answers, so the comparisons below would detect a leak."""
    hers = Web(headers=alice.bearer)

    for route in ROUTES:
        tried = [(ask(hers, method, route, HERS), ask(hers, method, route, NOBODYS)) for method in ("get", "post")]
        assert any(known != unknown for known, unknown in tried), route


@every_way
@pytest.mark.parametrize("body", ["", "{}", '{"id": "order-of-alice", "amount": 1, "currency": "EUR"}'])
def test_her_id_is_answered_like_an_unknown_id(mallorys, alice, method, route, body):
    before = everything_of(alice)
    more = {"data": body, "content_type": "application/json"}

    status, headers, said = ask(mallorys, method, route, HERS, **more)

    assert (status, headers, said) == ask(mallorys, method, route, NOBODYS, **more)
    assert status in (404, 405) or method == "options"
    assert everything_of(alice) == before


@every_way
def test_her_provider_transaction_id_is_answered_like_an_unknown_id(mallorys, alice, method, route):
    known = str(Transaction.objects.get().pk)
    unknown = "0" * 8 + known[8:]

    assert ask(mallorys, method, route, known) == ask(mallorys, method, route, unknown)


def new(answer: Any) -> dict[str, Any]:
    """Return the response to a new transaction, without the values that differ each time."""
    assert answer.status_code == 202
    fields = answer.json()
    for field in ("id", "provider_transaction_id", "created_at", "updated_at"):
        fields.pop(field)
    return {"headers": dict(answer.headers) | {"Location": "", "Content-Length": ""}, **fields}


@pytest.mark.parametrize("changes", [{}, {"amount": 7}, {"reference": "of alice", "metadata": {"of": "alice"}}])
def test_her_id_is_free_for_a_transaction_of_mallorys_own(alice, mallory, changes):
    before = everything_of(alice)

    taken, free = (Api(mallory).post(id=id_, **changes) for id_ in (HERS, NOBODYS))

    assert new(taken) == new(free)
    assert everything_of(alice) == before
    assert Api(alice).get(f"/{HERS}").json()["metadata"] == {"of": "alice"}


def test_requests_about_mallorys_endpoint_do_not_change_hers(mallorys, alice, mallory):
    gone = {"endpoint_disabled_at": timezone.now(), "endpoint_disabled_why": "it answered 410 Gone"}
    Client.objects.filter(pk__in=[alice.client.pk, mallory.client.pk]).update(**gone)
    Client.objects.filter(pk=alice.client.pk).update(callback_url="http://127.0.0.1:1/of-alice")
    before = everything_of(alice)

    told = mallorys.get("/v1/endpoint").content.decode()
    assert mallorys.post("/v1/endpoint/enable").json()["enabled"]

    assert "of-alice" not in told
    assert everything_of(alice) == before


def test_her_id_as_the_idempotency_key_is_free_as_well(alice, mallory):
    before = everything_of(alice)
    body = '{"amount": 1250, "currency": "EUR"}'

    taken, free = (Api(mallory).send(body, Idempotency_Key=key) for key in (HERS, NOBODYS))

    assert new(taken) == new(free)
    assert everything_of(alice) == before


def test_actions_on_mallorys_transaction_with_the_same_id_do_not_change_hers(alice, mallory):
    Api(mallory).post(id=HERS)
    before = everything_of(alice)

    assert Api(mallory).notify(HERS).status_code == 202
    assert Api(mallory).get(f"/{HERS}/events").status_code == 200
    assert everything_of(alice) == before


@pytest.mark.parametrize(
    "query",
    [{}, {"status": "pending"}, {"provider": "third"}, {"created_after": "2000-01-01T00:00:00Z"}, {"limit": 100},
     {"created_before": "2100-01-01T00:00:00Z"}, {"client": "1"}, {"client_id": "1"}, {"id": HERS}, {"q": HERS}],
)  # fmt: skip
def test_lists_contain_none_of_hers(alice, mallorys, query):
    with_hers = mallorys.get("/v1/transactions", query)
    Job.objects.all().delete()
    Event.objects.all().delete()
    Transaction.objects.all().delete()
    without = mallorys.get("/v1/transactions", query)

    assert (with_hers.status_code, with_hers.headers, with_hers.content) == (
        without.status_code,
        without.headers,
        without.content,
    )


def test_a_cursor_of_hers_shows_mallory_only_mallorys_own(alice, mallory, mallorys):
    Api(mallory).post(id="mallorys-old")
    for number in range(3):
        Api(alice).post(**content(id=f"hers-{number}"))
    Api(mallory).post(id="mallorys-new")
    first = Api(alice).get(limit=2).json()

    follows = mallorys.get(first["next"]).json()
    back = mallorys.get(Api(alice).web.get(first["next"]).json()["previous"]).json()

    assert {one["id"] for page in (follows, back) for one in page["results"]} == {"mallorys-old", "mallorys-new"}
