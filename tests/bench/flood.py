"""Response times of a client's POSTs, alone and while strangers send webhooks that are refused."""

import asyncio
import multiprocessing
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, cast

from devstack.ports import LOOPBACK, free_port
from devstack.stack import Stack

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

STRANGERS = 200  # connections
RATE = 20  # POSTs of the client a second


def flooded(home: Path, *, database_url: str, broker_url: str, seconds: float) -> dict[str, dict[str, float]]:
    """Return the median and the 99th percentile of the POSTs in ms, `alone` and `beside strangers`, and the refusals
    a second."""
    port, sandbox_port = free_port(), free_port()
    stack = Stack(home, database_url=database_url, broker_url=broker_url, port=port, sandbox_port=sandbox_port)
    stack.prepare()
    stack.start()
    refused = multiprocessing.get_context("spawn").Value("q", 0)
    flood = multiprocessing.get_context("spawn").Process(target=_flood, args=(port, refused), daemon=True)
    try:
        _post(stack, "warm", 1)
        found = {"alone": _post(stack, "alone", seconds) | {"refusals a second": 0.0}}
        flood.start()
        while not refused.value:
            time.sleep(0.1)
        before, began = refused.value, time.monotonic()
        beside = _post(stack, "beside", seconds)
        rate = (refused.value - before) / (time.monotonic() - began)
        found["beside strangers"] = beside | {"refusals a second": rate}
    finally:
        if flood.pid:
            flood.terminate()
            flood.join()
        stack.stop()
    return found


def _post(stack: Stack, name: str, seconds: float) -> dict[str, float]:
    taken, began = [], time.monotonic()
    for number in range(round(seconds * RATE)):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        body = {"id": f"{name}-{number}", "amount": 1250, "currency": "EUR", "reference": "sync"}
        asked = time.perf_counter()
        stack.request("POST", "/v1/transactions", json=body).raise_for_status()
        taken.append((time.perf_counter() - asked) * 1000)
    cuts = quantiles(taken, n=100)
    return {"median of POSTs, ms": cuts[49], "99th percentile, ms": cuts[98]}


class _Stranger(asyncio.Protocol):
    """Connection that sends the next webhook when the answer to the previous one has arrived. It parses no answer,
    so that its process needs less of the machine than the service does."""

    def __init__(self, request: bytes, refused: "Synchronized[int]") -> None:
        self._request, self._refused = request, refused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self._refused.value += b" 401 " in data[:20]
            self._transport.write(self._request)


def _flood(port: int, refused: "Synchronized[int]") -> None:
    request = f"POST /webhooks/sandbox HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Length: 2\r\n\r\n{{}}".encode()

    async def strangers() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(STRANGERS):
            await loop.create_connection(lambda: _Stranger(request, refused), LOOPBACK, port)
        await asyncio.Event().wait()

    asyncio.run(strangers())
