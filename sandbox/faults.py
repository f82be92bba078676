"""Injected faults, switched on and off at run time."""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from sandbox.wire import json_answer


class Switch:
    """Fault of one side: `ok`, `down` (drop the connection), `hang`, or an HTTP status for all requests.

    A request has an effect in the modes `ok` and `odd`; the caller of `fault` implements the odd ones.
    """

    def __init__(self, *modes: str, odd: Iterable[str] = ()) -> None:
        self._effective = ("ok", *odd)
        self.modes = (*self._effective, *modes)
        self.mode = "ok"
        self.faulted = 0
        self._changed = asyncio.Event()

    def set(self, mode: str) -> None:
        """Change the mode; hanging requests continue in the new one."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> None:
        """End the fault and reset the count of affected requests."""
        self.set("ok")
        self.faulted = 0

    async def fault(self, request: web.Request) -> web.Response | None:
        """Return the fault's answer to this request, or None if it has an effect."""
        if self.mode in self._effective:
            return None
        self.faulted += 1
        while self.mode == "hang":
            await self._changed.wait()
        if self.mode in self._effective:
            return None
        if self.mode == "down":
            return drop(request)
        return error(int(self.mode), "injected fault")


def drop(request: web.Request) -> web.Response:
    """Close the connection; aiohttp needs a response, but does not send it."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def error(http: int, reason: str) -> web.Response:
    """Return `{"error": reason}`; 429 and 503 have a Retry-After."""
    return json_answer(http, {"error": reason}).response()
