"""Providers and endpoints that close kept connections without saying so."""

import asyncio
import threading

import pytest

from clients.models import Client
from tests.cast import accepted, clear_caches, job
from tests.raw import ok, raw_serving, wire
from tests.running import again, change, claim, facts, settle, tries
from workers import jobs, kinds
from workers.models import OutboundCall
from workers.outbound import REPEATED, Http, OutcomeUnknown

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

KEPT = wire(ok(b'{"status": "pending"}'), end="keep")


def run_together(found, *, at_once=False):
    """Run the handlers of these jobs with one Http, one after another or all at once; settle them."""
    claimed = [claim(one) for one in found]
    seen = jobs.load(claimed)

    async def go():
        async with Http(["127.0.0.1"]) as http:
            runs = [kinds.kind_of(one.kind).handle(seen[one.id], http) for one in claimed]
            return await asyncio.gather(*runs) if at_once else [await run for run in runs]

    for one, outcome in zip(claimed, asyncio.run(go()), strict=True):
        settle(one, outcome)


def closing(delay, **headers):
    """Return the answers of a provider that closes each connection so many seconds after its answer."""
    absent = wire(ok(status=404, **headers), delay)
    return {"GET": absent, "POST": wire(ok(b'{"status": "completed"}', 201, **headers), delay)}


@pytest.mark.parametrize("headers", [{}, {"Connection": "keep-alive"}, {"Keep_Alive": "timeout=60"}])
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.005, 0.02, 0.05])
def test_each_create_succeeds_at_the_first_try(alice, third, delay, headers):
    with raw_serving(always=closing(delay, **headers)) as provider:
        change(third, base_url=provider.url)
        records = [accepted(alice, third) for _ in range(6)]
        run_together([job(record, "create") for record in records])

    assert [facts(record) for record in records] == [("completed", "created", "")] * 6
    assert provider.methods.count("POST") == 6
    for record in records:
        assert tries(job(record, "create")) == [("GET", 404), ("POST", 201)]


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01])
def test_creates_at_the_same_time_succeed_at_the_first_try(alice, third, delay):
    with raw_serving(always=closing(delay)) as provider:
        change(third, base_url=provider.url)
        records = [accepted(alice, third) for _ in range(40)]
        run_together([job(record, "create") for record in records], at_once=True)

    assert {facts(record) for record in records} == {("completed", "created", "")}
    assert provider.methods.count("POST") == 40


# --- a kept connection that ends without an answer


@pytest.mark.parametrize(
    "lost", [wire(), wire(end="reset"), wire(0.01), wire(b"HTTP/1.1 20"), wire(b"HTTP/1.1 200 OK\r\nA: b\r\n")]
)
def test_a_status_check_is_repeated_once_on_a_new_connection(alice, third, lost):
    with raw_serving(KEPT, lost, wire(ok(b'{"status": "completed"}'), end="keep")) as provider:
        change(third, base_url=provider.url, check_before_create=True)
        first, second = (accepted(alice, third) for _ in range(2))
        run_together([job(first, "create"), job(second, "create")])

    assert provider.methods == ["GET", "GET", "GET"]
    assert provider.connections == 2
    assert facts(second) == ("completed", "created", "")
    assert [one.error for one in OutboundCall.objects.order_by("started_at")] == ["", REPEATED]


@pytest.mark.parametrize("lost", [wire(), wire(end="reset"), wire(b"HTTP/1.1 20")])
def test_a_notification_is_repeated_once_on_a_new_connection(alice, third, lost):
    records = [accepted(alice, third) for _ in range(2)]
    with raw_serving(KEPT, lost, KEPT) as endpoint:
        Client.objects.update(callback_url=endpoint.url)
        clear_caches()
        run_together([job(record, "notify") for record in records])

    assert endpoint.methods == ["POST"] * 3
    bodies = [asked.partition(b"\r\n\r\n")[2] for asked in endpoint.asked]
    assert bodies[1] == bodies[2] != bodies[0]
    assert [again(job(record, "notify")).state for record in records] == ["done", "done"]
    assert [one.error for one in OutboundCall.objects.order_by("started_at")] == ["", REPEATED]


@pytest.mark.parametrize("lost", [wire(), wire(end="reset"), wire(b"HTTP/1.1 20")])
def test_a_create_is_never_repeated(alice, third, lost):
    with raw_serving(lost, always={"GET": wire(ok(status=404), end="keep")}) as provider:
        change(third, base_url=provider.url)
        record = accepted(alice, third)
        run_together([job(record, "create")])

    assert provider.methods == ["GET", "POST"]
    assert facts(record) == ("pending", "unknown", "")
    assert REPEATED not in [one.error for one in OutboundCall.objects.all()]


@pytest.mark.parametrize("path", ["absent", "present"])
def test_a_create_has_a_connection_of_its_own(alice, third, path):
    status = {"absent": 404, "present": 400}[path]
    answers = {"GET": wire(ok(status=status), end="keep"), "POST": wire(ok(b"", 201), end="keep")}
    with raw_serving(always=answers) as provider:
        change(third, base_url=provider.url)
        run_together([job(accepted(alice, third), "create") for _ in range(3)])

    assert provider.methods == ["GET", "POST"] * 3
    assert provider.connections == 4  # one for all status checks


def call(http, url, **how):
    return http.call("GET", url, headers={}, **({"within": 5.0} | how))


@pytest.mark.parametrize("lost", [wire(), wire(end="reset"), wire(b"HTTP/1.1 20")])
def test_a_call_is_not_repeated_twice(lost):
    async def go():
        async with Http(["127.0.0.1"]) as http:
            await call(http, server.url)
            with pytest.raises(OutcomeUnknown) as unknown:
                await call(http, server.url)
            return unknown.value.call

    with raw_serving(KEPT, lost) as server:
        asyncio.run(go())

    assert len(server.asked) == 3


@pytest.mark.parametrize("lost", [wire(), wire(end="reset"), wire(b"HTTP/1.1 20")])
def test_a_call_on_a_new_connection_is_not_repeated(lost):
    async def go():
        async with Http(["127.0.0.1"]) as http:
            with pytest.raises(OutcomeUnknown):
                await call(http, server.url)

    with raw_serving(lost) as server:
        asyncio.run(go())

    assert len(server.asked) == 1


@pytest.mark.parametrize("silent", [wire(end="silence"), wire(b"HTTP/1.1 20", end="silence"), wire(threading.Event())])
def test_a_timeout_on_a_kept_connection_is_not_repeated(silent):
    async def go():
        async with Http(["127.0.0.1"]) as http:
            await call(http, server.url)
            with pytest.raises(OutcomeUnknown):
                await call(http, server.url, within=0.2)

    with raw_serving(KEPT, silent) as server:
        asyncio.run(go())
        for piece in silent.pieces:
            if isinstance(piece, threading.Event):
                piece.set()

    assert len(server.asked) == 2
