"""Answers and how they are sent: by the web server, or written to the connection as bytes that it would refuse to send.

All durations are in real seconds at any speed.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

JSON: Mapping[str, str] = {"Content-Type": "application/json"}
PAUSE = 0.2
"""Seconds between two pieces of a slow body."""
LONGEST = 300
"""Number of pieces of a body that never ends: one minute, longer than any caller should read."""
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends a reset
UNTIL_RESET = 0.2
"""Seconds from the headers to the reset, so that the caller reads the headers first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A valid answer, sent by the web server. The content may contradict the headers."""

    http: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    def response(self) -> web.Response:
        """Return the response that the web server sends."""
        return web.Response(status=self.http, body=self.content, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes for the connection, which ends `closes_after` seconds after the last piece."""

    head: bytes
    slowly: Sequence[bytes] = ()
    """Pieces that follow at intervals of PAUSE."""
    closes_after: float = 0.0
    resets: bool = False


def json_answer(http: int, body: object) -> Answer:
    """Return JSON; 429 and 503 have a Retry-After of one second, the shortest possible."""
    headers = {**JSON, "Retry-After": "1"} if http in (429, 503) else JSON
    return Answer(http, json.dumps(body).encode(), headers)


async def send(request: web.Request, answer: Answer | Raw) -> web.Response:
    """Send an answer. Return the response for the web server, which drops it if the connection is closed."""
    if isinstance(answer, Answer):
        return answer.response()
    transport = request.transport
    if transport is None:
        return web.Response()
    transport.write(answer.head)
    for piece in answer.slowly:
        await asyncio.sleep(PAUSE)
        transport.write(piece)
    await asyncio.sleep(answer.closes_after)
    if answer.resets:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.close()
    return web.Response()


def close_early(answer: Answer, after: float) -> Raw:
    """Announce keep-alive, send the complete answer, and close the connection `after` seconds later."""
    return Raw(_head(answer, f"Content-Length: {len(answer.content)}") + answer.content, closes_after=after)


def drip(answer: Answer) -> Raw:
    """Send the body in eight pieces."""
    size = max(1, -(-len(answer.content) // 8))
    pieces = [answer.content[at : at + size] for at in range(0, len(answer.content), size)]
    return Raw(_head(answer, f"Content-Length: {len(answer.content)}"), pieces)


def endless(answer: Answer) -> Raw:
    """Send half of the body, and then a space at a time."""
    begun = answer.content[: len(answer.content) // 2]
    return Raw(_head(answer, "Transfer-Encoding: chunked") + _chunk(begun or b" "), [_chunk(b" ")] * LONGEST)


def cut(answer: Answer) -> Raw:
    """Close the connection before the announced length is reached."""
    return Raw(_head(answer, f"Content-Length: {len(answer.content) + 100}") + answer.content)


def reset(answer: Answer) -> Raw:
    """Reset the connection after the headers."""
    head = _head(answer, f"Content-Length: {len(answer.content) + 100}")
    return Raw(head, closes_after=UNTIL_RESET, resets=True)


def bad_chunk(answer: Answer) -> Raw:
    """Send half of the body, and then a chunk without a valid length."""
    begun = answer.content[: len(answer.content) // 2]
    return Raw(_head(answer, "Transfer-Encoding: chunked") + _chunk(begun or b" ") + b"length?\r\n{\r\n")


def unannounced_body(_answer: Answer) -> Raw:
    """Send 204 with a body."""
    return Raw(_head(Answer(204), "Content-Length: 2") + b"ok")


def _head(answer: Answer, framing: str) -> bytes:
    named = [f"{name}: {value}" for name, value in answer.headers.items()]
    status = f"HTTP/1.1 {answer.http} {HTTPStatus(answer.http).phrase}"
    return "\r\n".join([status, *named, framing, "Connection: keep-alive", "", ""]).encode()


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


BROKEN = (drip, endless, cut, reset, bad_chunk)
"""Ways to send a body that a caller cannot or should not read to its end."""
