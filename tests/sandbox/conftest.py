"""Fixture of a running sandbox on a free loopback port; tests use it over HTTP."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import requests

from sandbox.app import start
from sandbox.settings import Settings

FAST = 200.0  # 30 s take 150 ms


class Running:
    """One sandbox; the webhooks of `create` go to its own client's endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()

    def create(self, reference: str, **body: Any) -> requests.Response:
        key = body.setdefault("id", str(uuid.uuid4()))
        self.last_id = key
        order = {"amount": 100, "currency": "EUR", "reference": reference, "webhook_url": self.url + "/client/callback"}
        return self.http.post(self.url + "/third-party/transactions", json=order | body, timeout=10)

    def read(self, key: str) -> requests.Response:
        return self.http.get(f"{self.url}/third-party/transactions/{key}", timeout=10)

    def notify(self, status: str, sequence: int, **how: Any) -> int:
        data = {"id": "order-1", "status": status, "sequence": sequence}
        body = {"type": f"transaction.{status}", "data": data}
        return self.http.post(self.url + "/client/callback", json=body, timeout=10, **how).status_code

    def control(self, **modes: str) -> requests.Response:
        return self.http.post(self.url + "/control", json=modes, timeout=10)

    def state(self, side: str) -> Any:
        return self.http.get(self.url + "/state", timeout=10).json()[side]

    def seen(self, key: str) -> Any:
        """Return one of the third party's transactions from /state."""
        return self.state("provider")["transactions"][key]

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float = 5) -> None:
        """Wait until a condition is true; fail after the timeout."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "timeout: the condition did not become true"
            time.sleep(0.005)

    def notified(self, key: str) -> list[str]:
        """Return the statuses in the notifications for `key`, in order."""
        known = self.state("client")["transactions"].get(key, {"notifications": []})
        return [notification["status"] for notification in known["notifications"]]


async def _serve(settings: Settings, url: "Future[str]", stop: "Future[None]") -> None:
    runner, base = await start(settings, "127.0.0.1", 0)
    url.set_result(base)
    await asyncio.wrap_future(stop)
    await runner.cleanup()


@pytest.fixture
def settings() -> Settings:
    return Settings(speed=FAST)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Running]:
    url: Future[str] = Future()
    stop: Future[None] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(settings, url, stop)), daemon=True)
    thread.start()
    running = Running(url.result(timeout=5))
    yield running
    running.http.close()
    stop.set_result(None)
    thread.join(timeout=5)
    assert not thread.is_alive()
