"""Outages of stores and providers: the service recovers by itself, without a restart of its processes."""

import signal
import time

import pytest
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
