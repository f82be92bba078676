"""API keys, rate limits and secrets over real processes: two web servers, all logs at level DEBUG."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet

from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK, free_port
from devstack.postgres import create_database
from devstack.processes import Child
from devstack.serve import web_command
from devstack.stack import Stack
from devstack.stores import Stores
from tests.e2e.test_main_job import FINAL, post, told, wait_for
from tests.servers import Answer, Server, serving
from tests.webhooks.senders import signed

pytestmark = pytest.mark.slow

EFFECTIVE = 5.0
"""Seconds within which a change of keys and secrets must take effect in every process."""


@pytest.fixture(scope="module")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack that logs at level DEBUG."""
    stack = Stack(
        tmp_path_factory.mktemp("credentials"),
        database_url=create_database(stores.database_url, "credentials"),
        broker_url=stores.broker_database(4),
        port=free_port(),
        sandbox_port=free_port(),
        variables={"LOG_LEVEL": "DEBUG"},
    )
    stack.prepare()
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def webs(stack: Stack) -> Iterator[list[str]]:
    """URLs of two web processes."""
    port = free_port()
    log = stack.logs / "web-2.log"
    second = Child("web-2", web_command(LOOPBACK, port), log=log, environment=stack.environment, folder=CHECKOUT)
    second.start()
    url = f"http://{LOOPBACK}:{port}"
    wait_for(lambda: answers(f"{url}/healthz"))
    yield [stack.url, url]
    second.stop()


@pytest.fixture(scope="module")
def shown() -> list[str]:
    """All secrets of the tests in this module; the last test searches the logs for them."""
    return []


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def made(stack: Stack, shown: list[str], *words: str) -> dict[str, Any]:
    """Run a command, add its secrets to `shown`, and return its output."""
    found: dict[str, Any] = json.loads(stack.manage(*words, "--json"))
    shown += [value for name, value in found.items() if name in ("api_key", "callback_secret", "webhook_secret")]
    return found


def statuses(webs: list[str], key: str) -> list[int]:
    """Return the status code of each web process for this key."""
    bearer = {"Authorization": f"Bearer {key}"}
    return [requests.get(f"{url}/v1/transactions", headers=bearer, timeout=30).status_code for url in webs]


def test_a_revoked_key_is_refused_by_every_process_within_5_seconds(stack, webs, shown):
    key = made(stack, shown, "createkey", "demo", "--name", "shop")["api_key"]
    wait_for(lambda: statuses(webs, key) == [200, 200], EFFECTIVE)

    made(stack, shown, "revokekey", key[:12])

    wait_for(lambda: statuses(webs, key) == [403, 403], EFFECTIVE)


def test_two_web_processes_share_one_rate_limit(stack, webs, shown):
    limited = ["--callback-url", f"{stack.sandbox_url}/client/callback", "--set", "rate_limit=10/hour"]
    key = made(stack, shown, "createclient", "limited", *limited)["api_key"]

    answered = [status for _ in range(8) for status in statuses(webs, key)]

    assert (answered.count(200), answered.count(429)) == (10, 6)


@pytest.fixture
def bank(stack: Stack, shown: list[str]) -> tuple[str, str]:
    """A provider with signed webhooks: its webhook URL and its secret."""
    signing = ["--base-url", f"{stack.sandbox_url}/third-party", "--set", 'headers={"X-Key": "hunter2-and-more"}']
    found = made(stack, shown, "createprovider", "bank", *signing)
    shown.append("hunter2-and-more")
    return found["webhook_url"], found["webhook_secret"]


def sent(webs: list[str], path: str, secret: str) -> list[int]:
    """Return the status code of each web process for a signed webhook about an unknown transaction."""
    body = json.dumps({"id": "01890000-0000-7000-8000-000000000001", "status": "completed"}).encode()
    return [requests.post(url + path, body, headers=signed(secret, body), timeout=30).status_code for url in webs]


def test_webhooks_with_either_secret_are_accepted_until_the_older_one_expires(stack, webs, bank, shown):
    path, older = bank[0].removeprefix(stack.url), bank[1]
    newer = made(stack, shown, "createsecret", "--provider", "bank", "--overlap", "24")["webhook_secret"]
    wait_for(lambda: sent(webs, path, newer) == [204, 204], EFFECTIVE)
    assert sent(webs, path, older) == [204, 204]

    newest = made(stack, shown, "createsecret", "--provider", "bank", "--overlap", "0")["webhook_secret"]

    wait_for(lambda: sent(webs, path, older) == sent(webs, path, newer) == [401, 401], EFFECTIVE)
    assert sent(webs, path, newest) == [204, 204]


@pytest.fixture
def endpoint() -> Iterator[Server]:
    """Endpoint of a client."""
    with serving() as server:
        server.on("POST", Answer(204))
        yield server


def test_notifications_are_signed_with_both_secrets_until_the_older_one_expires(stack, endpoint, shown):
    own = ["--callback-url", f"{endpoint.url}/callback", "--provider", stack.state["provider"]]
    client = made(stack, shown, "createclient", "rotating", *own)

    def signatures(ref: str) -> int:
        """Return the number of signatures on the notification of a new transaction."""
        body = {"id": ref, "amount": 1, "currency": "EUR", "reference": "sync"}
        stack.request("POST", "/v1/transactions", json=body, headers={"Authorization": f"Bearer {client['api_key']}"})
        wait_for(lambda: any(ref.encode() in asked.body for asked in endpoint.asked))
        told = next(asked for asked in endpoint.asked if ref.encode() in asked.body)
        return len(told.headers["webhook-signature"].split())

    assert signatures("one-secret") == 1
    made(stack, shown, "createsecret", "--client", "rotating", "--overlap", "24")
    numbers = iter(range(1000))
    wait_for(lambda: signatures(f"both-{next(numbers)}") == 2, EFFECTIVE)
    made(stack, shown, "createsecret", "--client", "rotating", "--overlap", "0")
    wait_for(lambda: signatures(f"newest-{next(numbers)}") == 1, EFFECTIVE)


def test_secrets_are_re_encrypted_while_the_service_runs(stack: Stack, shown: list[str]):
    """The first two steps of a key rotation: configure both keys, then re-encrypt all values with the new one."""
    new = Fernet.generate_key().decode()
    shown.append(new)
    stack.environment["ENCRYPTION_KEYS"] = f"{new},{stack.environment['ENCRYPTION_KEYS']}"
    for child in (stack.web, stack.worker):
        child.stop()
        child.start()
    wait_for(lambda: answers(f"{stack.url}/readyz"))

    first, second = stack.manage("rotatesecrets"), stack.manage("rotatesecrets")

    assert re.search(r"CallbackSecret.secret: [1-9]\d* re-encrypted, 0 already", first)
    assert second.count(": 0 re-encrypted") == 3
    assert post(stack, "rotated", "webhook").status_code == 202
    assert wait_for(lambda: told(stack, "rotated")) in FINAL


def test_no_secret_is_in_any_log(stack: Stack, webs: list[str], shown: list[str]):
    """Runs after the tests above and searches the logs that they produced."""
    secrets = [*shown, stack.api_key, stack.callback_secret, stack.state["SECRET_KEY"], stack.state["ENCRYPTION_KEYS"]]
    logs: list[Path] = list(stack.logs.iterdir())
    texts = {log.name: log.read_text() for log in logs}

    assert {"web.log", "web-2.log", "worker.log", "sandbox.log"} <= set(texts)
    assert '"level": "debug"' in texts["worker.log"]
    assert len(secrets) > 10
    for name, text in texts.items():
        assert [name for secret in secrets if secret in text or secret.removeprefix("whsec_") in text] == []
        assert not re.search(r"/webhooks/[^\s\"]+/[0-9a-f]{64}", text), f"a webhook's token is in {name}"
