"""A request through the web process's own entry, with a body that comes in pieces, or not to its end."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

from django.db import connection


@dataclass
class Body:
    """What comes after a request's headers."""

    pieces: Iterable[bytes] = ()
    then: Literal["end", "silence", "disconnect"] = "end"
    asked: int = 0
    """How often the next piece was asked for."""


def ask(
    path: str, headers: Mapping[str, str], body: Body, *, method: str = "POST", patience: float = 0.05
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and content (JSON as what it says) of the answer; `patience` is for the whole body, in seconds.

    For tests with `transaction=True`: Django runs in a thread, as it does there.
    """
    from txnproject import asgi

    coming = iter(body.pieces)

    async def receive() -> dict[str, Any]:
        body.asked += 1
        if (piece := next(coming, None)) is not None:
            return {"type": "http.request", "body": piece, "more_body": True}
        if body.then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"} if body.then == "disconnect" else {"type": "http.request"}

    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    given = {"Content-Type": "application/json", **headers}
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"testserver"), *named],
    }
    with (
        ThreadPoolExecutor(1) as thread,
        mock.patch.multiple(asgi, _threads=thread, _client_threads=thread, BODY_TIMEOUT=patience),
    ):
        asyncio.run(asgi.application(scope, receive, send))
        thread.submit(lambda: connection.close()).result()
    start, content = sent
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    is_json = answered.get("content-type", "").endswith("json")
    shown = content["path"] if content["type"] == "http.response.pathsend" else content["body"]
    return start["status"], answered, json.loads(shown) if is_json else shown
