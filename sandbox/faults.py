"""Outages switched on and off while the sandbox runs."""

import asyncio

from aiohttp import web


class Switch:
    """One side's present fault: `ok`, `down` (drop the connection), `hang`, or an HTTP status for everything."""

    def __init__(self, *modes: str) -> None:
        self.modes = ("ok", *modes)
        self.mode = "ok"
        self.faulted = 0
        self._changed = asyncio.Event()

    def set(self, mode: str) -> None:
        """Requests that hang go on under the new mode."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> None:
        self.set("ok")
        self.faulted = 0

    async def fault(self, request: web.Request) -> web.Response | None:
        """The fault's answer to this request, or None when all is well."""
        if self.mode == "ok":
            return None
        self.faulted += 1
        while self.mode == "hang":
            await self._changed.wait()
        if self.mode == "ok":
            return None
        if self.mode == "down":
            return drop(request)
        return error(int(self.mode), "injected fault")


def drop(request: web.Request) -> web.Response:
    """Closes the connection; the response returned is for aiohttp's sake and reaches nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def error(http: int, reason: str) -> web.Response:
    """`{"error": reason}`; with 429 and 503 goes a Retry-After of one second, the least a header can say."""
    headers = {"Retry-After": "1"} if http in (429, 503) else None
    return web.json_response({"error": reason}, status=http, headers=headers)
