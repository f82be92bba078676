"""Memory of the web and worker processes on a given database."""

import time
from pathlib import Path

import psutil

from devstack.ports import free_port
from devstack.stack import Stack

RATE = 10  # transactions a second
MIB = 2**20


def memory(home: Path, *, database_url: str, broker_url: str, seconds: float) -> dict[str, float]:
    """Return the resident memory of web and worker in MiB, at start and after `seconds` with a small load."""
    stack = Stack(
        home, database_url=database_url, broker_url=broker_url, port=free_port(), sandbox_port=free_port()
    )  # fmt: skip
    stack.prepare()
    stack.start()
    try:
        found = {f"{child.name}, at start": _resident(child.pid) for child in (stack.web, stack.worker)}
        _load(stack, seconds)
        found |= {f"{child.name}, after {seconds:g} s": _resident(child.pid) for child in (stack.web, stack.worker)}
    finally:
        stack.stop()
    return found


def _load(stack: Stack, seconds: float) -> None:
    began = time.monotonic()
    for nth in range(round(seconds * RATE)):
        body = {"id": f"order-{nth}", "amount": 1250, "currency": "EUR", "reference": "sync"}
        stack.request("POST", "/v1/transactions", json=body).raise_for_status()
        time.sleep(max(0.0, began + (nth + 1) / RATE - time.monotonic()))
    stack.check()


def _resident(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / MIB
