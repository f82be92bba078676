"""Outages of stores and providers: the service recovers by itself, without a restart of its processes."""

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg2
import pytest
import redis
import requests

from devstack.postgres import PostgreSQL
from devstack.stack import Stack
from devstack.stores import Stores
from devstack.valkey import Valkey
from tests.e2e.test_main_job import FINAL, post, told, wait_for

pytestmark = pytest.mark.slow

BREAKER = 'relay_breaker_open{kind="create",provider="sandbox"}'
Breakable = tuple[Stack, Stores]


@pytest.fixture
def stack(breakable: Breakable):
    """The stack. Its processes must be the same after the test as before it."""
    stack, _ = breakable
    before = [child.pid for child in (stack.web, stack.worker, stack.sandbox)]
    yield stack
    stack.check()
    assert [child.pid for child in (stack.web, stack.worker, stack.sandbox)] == before


@pytest.fixture
def valkey(breakable: Breakable) -> Valkey:
    _, stores = breakable
    assert stores.valkey is not None
    return stores.valkey


@pytest.fixture
def postgres(breakable: Breakable) -> PostgreSQL:
    _, stores = breakable
    assert stores.postgres is not None
    return stores.postgres


def set_fault(stack: Stack, **modes: str) -> None:
    requests.post(f"{stack.sandbox_url}/control", json=modes, timeout=5).raise_for_status()


def accepted(stack: Stack, ref: str, reference: str) -> bool:
    """Post a transaction. Return True if it is accepted now or was accepted before."""
    return bool(post(stack, ref, reference).status_code in (200, 202))


def assert_told(stack: Stack, refs: list[str]) -> None:
    """Wait until the client is notified of the final status of each transaction."""
    wait_for(lambda: all(told(stack, ref) in FINAL for ref in refs))


def test_transactions_complete_without_the_broker(stack: Stack, valkey: Valkey):
    valkey.stop()
    try:
        assert post(stack, "no-broker", "webhook").status_code == 202
        assert wait_for(lambda: told(stack, "no-broker")) in FINAL
    finally:
        valkey.start()

    assert post(stack, "broker-back", "webhook").status_code == 202
    assert wait_for(lambda: told(stack, "broker-back")) in FINAL
    assert wait_for(lambda: requests.get(f"{stack.url}/readyz", timeout=5).ok)


def test_transactions_complete_after_the_broker_loses_all_messages(stack: Stack, valkey: Valkey):
    for number in range(20):
        post(stack, f"flushed-{number}", "sync")
    valkey.stop()
    valkey.start()  # it restarts empty

    assert_told(stack, [f"flushed-{number}" for number in range(20)])


REFUSALS = ["REPLICAOF 127.0.0.1 1", "CONFIG SET maxmemory 1", "CONFIG SET min-replicas-to-write 1"]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_transactions_complete_while_the_broker_refuses_writes(stack: Stack, valkey: Valkey, refusal: str):
    name = f"refused-{REFUSALS.index(refusal)}"
    with redis.Redis.from_url(valkey.url()) as server:
        server.execute_command(*refusal.split())
        try:
            assert post(stack, name, "webhook").status_code == 202
            assert wait_for(lambda: told(stack, name)) in FINAL
            answer = requests.get(f"{stack.url}/readyz", timeout=5)
            assert (answer.status_code, answer.json()["broker"]["ok"]) == (503, False)
        finally:
            for command in ("REPLICAOF NO ONE", "CONFIG SET maxmemory 0", "CONFIG SET min-replicas-to-write 0"):
                server.execute_command(*command.split())

    assert wait_for(lambda: requests.get(f"{stack.url}/readyz", timeout=5).ok)
    assert post(stack, f"{name}-back", "webhook").status_code == 202
    assert wait_for(lambda: told(stack, f"{name}-back")) in FINAL


@contextlib.contextmanager
def session(postgres: PostgreSQL) -> Iterator[psycopg2.extensions.cursor]:
    """A session that can write in any case."""
    with contextlib.closing(psycopg2.connect(postgres.url())) as opened, opened.cursor() as cursor:
        opened.autocommit = True
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        yield cursor


@contextlib.contextmanager
def old_sessions_read_only(postgres: PostgreSQL) -> Iterator[None]:
    """Make the open sessions read-only but no new ones, as a failover does behind a proxy that keeps connections."""
    with session(postgres) as cursor:
        cursor.execute("ALTER DATABASE postgres SET default_transaction_read_only = off")
        cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        cursor.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cursor.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
            cursor.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def new_sessions_read_only(postgres: PostgreSQL) -> Iterator[None]:
    """End all sessions, and make the new ones read-only. They remain so at the end, unlike those opened then."""
    with session(postgres) as cursor:
        cursor.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        try:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            yield
        finally:
            cursor.execute("ALTER DATABASE postgres RESET default_transaction_read_only")


def test_the_first_requests_after_a_failover_are_accepted(stack: Stack, postgres: PostgreSQL):
    """The open sessions have become read-only, as behind a proxy that keeps them; new ones are not."""
    names = [f"failover-{number}" for number in range(40)]
    for name in names[:20]:
        post(stack, name, "webhook")

    with old_sessions_read_only(postgres):
        assert {post(stack, name, "webhook").status_code for name in names[20:]} == {202}
        assert requests.get(f"{stack.url}/readyz?only=database", timeout=5).ok
        assert_told(stack, names)

    assert stack.sandbox_state()["provider"]["duplicate_creates"] == 0


def test_a_read_only_database_accepts_nothing_until_it_can_be_written(stack: Stack, postgres: PostgreSQL):
    names = [f"read-only-{number}" for number in range(20)]
    for name in names:
        post(stack, name, "slow")

    with new_sessions_read_only(postgres):
        answers = [post(stack, "refused", "sync") for _ in range(20)]
        probe = requests.get(f"{stack.url}/readyz", timeout=5)
        found = stack.request("GET", f"/v1/transactions/{names[0]}")

    assert {(one.status_code, one.headers["Content-Type"]) for one in answers} == {(503, "application/problem+json")}
    assert all(int(one.headers["Retry-After"]) > 0 for one in answers)
    assert (probe.status_code, probe.json()["database"]["error"]) == (503, "the database is read-only")
    assert found.status_code == 200
    assert post(stack, "refused", "sync").status_code == 202
    assert_told(stack, ["refused", *names])
    assert crashes(postgres) == 0
    assert stack.sandbox_state()["provider"]["duplicate_creates"] == 0


def crashes(postgres: PostgreSQL) -> int:
    with session(postgres) as cursor:
        cursor.execute("SELECT count(*) FROM workers_outboundcall WHERE error LIKE 'the worker was lost%'")
        return int(cursor.fetchall()[0][0])


def test_requests_without_the_database_are_answered_503_with_retry_after(stack: Stack, postgres: PostgreSQL):
    webhook = f"{stack.url}/webhooks/sandbox/0190a1b2-0000-7000-8000-000000000000/token"
    postgres.crash()
    try:
        for answer in (post(stack, "no-database", "sync"), requests.post(webhook, json={}, timeout=30)):
            assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
            assert int(answer.headers["Retry-After"]) > 0
    finally:
        postgres.start()

    assert wait_for(lambda: accepted(stack, "no-database", "sync"))
    assert wait_for(lambda: told(stack, "no-database")) in FINAL


@contextlib.contextmanager
def frozen(postgres: PostgreSQL) -> Iterator[None]:
    """Suspend all processes of PostgreSQL: it accepts connections in the kernel, and responds to none."""
    server = psutil.Process(int((postgres.data / "postmaster.pid").read_text().split()[0]))
    processes = [server, *server.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_probes_respond_while_every_thread_waits_for_a_frozen_postgresql(stack: Stack, postgres: PostgreSQL):
    with ThreadPoolExecutor(20) as pool:
        with frozen(postgres):
            posted = [pool.submit(post, stack, f"frozen-{number}", "sync") for number in range(20)]
            alive = [requests.get(f"{stack.url}/healthz", timeout=5).status_code for _ in range(20)]
            probes = [requests.get(f"{stack.url}/readyz", timeout=5) for _ in range(3)]
            assert not any(one.done() for one in posted)

        assert alive == [200] * 20
        assert {(one.status_code, one.json()["database"]["ok"]) for one in probes} == {(503, False)}
        assert {one.result().status_code for one in posted} <= {202, 503}
    assert wait_for(lambda: requests.get(f"{stack.url}/readyz", timeout=5).ok)


def test_transactions_in_progress_complete_after_a_database_crash(stack: Stack, postgres: PostgreSQL):
    for number in range(20):
        post(stack, f"crash-{number}", "webhook")

    postgres.crash()
    postgres.start()

    assert_told(stack, [f"crash-{number}" for number in range(20)])
    assert stack.sandbox_state()["provider"]["duplicate_creates"] == 0


def test_a_provider_that_is_down_gets_few_calls_until_it_recovers(stack: Stack):
    """The circuit breaker opens: after the first of the 60 creates and their polls, few calls reach the provider."""
    set_fault(stack, provider="500")
    for number in range(60):
        post(stack, f"down-{number}", "sync")
    wait_for(lambda: f"{BREAKER} 1.0" in metrics(stack))
    faulted = stack.sandbox_state()["provider"]["faulted"]
    time.sleep(3)  # part of the outage; the absence of calls has no condition to wait for
    assert stack.sandbox_state()["provider"]["faulted"] - faulted < 15

    set_fault(stack, provider="ok")

    assert_told(stack, [f"down-{number}" for number in range(60)])
    assert f"{BREAKER} 0.0" in metrics(stack)


def metrics(stack: Stack) -> str:
    return requests.get(f"{stack.url}/metrics", timeout=5).text


def test_a_stopping_worker_hands_over_its_jobs_at_once(breakable: Breakable):
    """The worker hands back its jobs long before their leases expire, and no crash is counted."""
    stack, _ = breakable
    other = stack.add_worker()
    stack.worker.request_stop(signal.SIGTERM)
    for number in range(10):
        post(stack, f"handed-{number}", "slow")

    assert stack.worker.wait(25)
    assert stack.worker.exit_code == 0
    assert_told(stack, [f"handed-{number}" for number in range(10)])
    stack.workers.remove(stack.worker)
    stack.worker = other
