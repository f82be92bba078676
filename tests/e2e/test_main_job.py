"""The main flow over real processes and HTTP: the service agrees with the sandbox's provider and client."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devstack.stack import Stack

pytestmark = pytest.mark.slow

FINAL = {"completed", "declined", "failed"}


def post(stack: Stack, ref: str, reference: str) -> Any:
    body = {"id": ref, "amount": 1250, "currency": "EUR", "reference": reference}
    return stack.request("POST", "/v1/transactions", json=body)


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first true result of `what`. Fail after `seconds`."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def told(stack: Stack, ref: str) -> str | None:
    """Return the final status of which the client's endpoint was notified, or None."""
    known: dict[str, Any] = stack.sandbox_state()["client"]["transactions"].get(ref, {})
    return known.get("final")


@pytest.mark.parametrize(
    "behaviour",
    [
        "sync",
        "webhook",
        "duplicate-webhook",
        "late-webhook",
        "early-webhook",
        "silent",
        "decline",
        "slow",
        "ghost504",
        "lost504",
        "drop",
        "conflict",
        "throttle",
        "contradict",
        "unknown-word",
    ],
)
def test_the_client_is_notified_of_the_providers_final_status(stack: Stack, behaviour: str):
    ours = post(stack, f"e2e-{behaviour}", behaviour).json()["provider_transaction_id"]

    news = wait_for(lambda: told(stack, f"e2e-{behaviour}"))

    theirs = stack.sandbox_state()["provider"]["transactions"][ours]
    service = stack.request("GET", f"/v1/transactions/e2e-{behaviour}").json()
    assert news == service["status"] == theirs["status"]
    assert service["sequence"] == 2


def test_a_refused_transaction_fails_with_the_providers_reason(stack: Stack):
    post(stack, "e2e-refused", "refuse")

    assert wait_for(lambda: told(stack, "e2e-refused")) == "failed"
    failure = stack.request("GET", "/v1/transactions/e2e-refused").json()["failure"]
    assert failure["code"] == "refused"


def test_50_identical_concurrent_posts_create_one_transaction(stack: Stack):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(stack, "e2e-fifty", "sync"), range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    (ours,) = {answer.json()["provider_transaction_id"] for answer in answers}
    wait_for(lambda: told(stack, "e2e-fifty"))
    assert len(stack.sandbox_state()["provider"]["transactions"][ours]["create_calls"]) == 1


def test_there_were_no_duplicate_creates_and_no_invalid_notifications(stack: Stack):
    """Runs after the tests above and checks their traces in the sandbox."""
    state = stack.sandbox_state()

    assert state["provider"]["duplicate_creates"] == 0
    assert (state["client"]["bad_signatures"], state["client"]["stale"], state["client"]["conflicting"]) == (0, 0, 0)


def test_another_worker_finishes_the_job_of_a_killed_worker(stack: Stack):
    worker = stack.add_worker()
    ours = post(stack, "e2e-killed", "slow").json()["provider_transaction_id"]
    wait_for(lambda: ours in stack.sandbox_state()["provider"]["transactions"])

    stack.worker.kill()
    worker.kill()
    stack.workers.remove(worker)
    stack.worker.start()

    # The outcome of the create is known only after the lease has expired and the settle window has passed.
    assert wait_for(lambda: told(stack, "e2e-killed"), seconds=120) in FINAL
    assert stack.sandbox_state()["provider"]["duplicate_creates"] == 0
