"""The web process's entry: `granian --interface asginl txnproject.asgi:application`.

The event loop reads a request's body before the request gets one of the few threads that run Django. A body that
arrives slowly, or never completely, thus occupies a connection for `BODY_TIMEOUT`, and no thread.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from txnproject.wsgi import application as django  # sets up Django: the imports below need it

# isort: split
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import request_started
from django.urls import set_script_prefix
from django.utils.encoding import repercent_broken_unicode

from transactions.api.parsing import MAX_BODY
from transactions.api.problems import RETRY_AFTER, problem_body

THREADS = 16
"""Number of requests that Django handles at a time; each thread keeps a database connection."""
BODY_TIMEOUT = 10.0
"""Timeout in seconds for the complete body, from the end of the headers on."""
PIECE_TIMEOUT = 60.0
"""Timeout in seconds for the reader of a streamed response to take in a piece."""
MOST_TAKEN = 1000
"""Limit on buffered requests, those that wait for a thread included. Clients that disconnect free their connection, but
not the request that waits here."""

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_taken = 0
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="web")


class Unread(io.BytesIO):
    """Stands for a body that was not read completely. Django turns the error into an `UnreadablePostError`; a view that
    refuses the request without its body never sees it."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise TimeoutError("The body did not arrive in time")

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.read()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Handle one request: the ASGI application."""
    global _taken
    if _taken >= MOST_TAKEN:
        return await _refuse(scope, send)
    _taken += 1
    try:
        headers = _headers(scope)
        body = await _read_body(scope, headers, receive)
        response = await _in_thread(_respond, scope, headers, body)
        await _send(response, receive, send)
    finally:
        _taken -= 1


def _in_thread(work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
    return asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)


async def _refuse(scope: Message, send: Send) -> None:
    """Answer 503 without Django, in the form that `transactions.api.problems` gives it."""
    headers = {
        "content-type": "application/problem+json",
        "retry-after": RETRY_AFTER,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    body = json.dumps(problem_body("unavailable", scope["path"])).encode()
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": head})
    await send({"type": "http.response.body", "body": body})


# --- the request


def _headers(scope: Message) -> dict[bytes, bytes]:
    """Return the headers that Django gets.

    Names with underscores are dropped: Django could not tell X_Forwarded_For, which any client may send, from the
    proxy's X-Forwarded-For. Files are sent whole, so Range is ignored. Bodies are UTF-8, so a content type's parameters
    are dropped: Python keeps the name of each charset that it is asked for.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if b"_" not in name and name != b"range":
            separator = b"; " if name == b"cookie" else b","
            headers[name] = headers[name] + separator + value if name in headers else value
    headers[b"content-type"] = headers.get(b"content-type", b"").partition(b";")[0]
    return headers


async def _read_body(scope: Message, headers: dict[bytes, bytes], receive: Receive) -> IO[bytes]:
    """Read the body, at most MAX_BODY and a piece of it, and set its true length in the headers.

    A body is left unread if it is too large by its header, or if the request will be refused for its missing API key.
    """
    length = headers.get(b"content-length", b"").lstrip(b"0")[:20] or b"0"  # int() refuses 4300 digits
    headers[b"content-length"] = length
    if not length.isdigit() or (length == b"0" and b"transfer-encoding" not in headers):
        return io.BytesIO()
    if length == b"0":  # unknown until the body is read
        headers[b"content-length"] = str(MAX_BODY).encode()
    elif int(length) > MAX_BODY:
        return Unread()
    if scope["path"].startswith("/v1/") and b"authorization" not in headers:
        return Unread()
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while more and len(body) <= MAX_BODY:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return Unread()
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        return Unread()
    headers[b"content-length"] = str(len(body)).encode()
    return io.BytesIO(body)


def _respond(scope: Message, headers: Mapping[bytes, bytes], body: IO[bytes]) -> Any:
    """Run Django on the request, in this thread; return its response (`HttpResponseBase`)."""
    path = repercent_broken_unicode(unquote_to_bytes(scope["raw_path"])).decode()
    query = scope["query_string"].decode(errors="replace")
    set_script_prefix("/")
    request_started.send(sender=type(django), scope=scope)
    request = ASGIRequest({**scope, "path": path, "query_string": query, "headers": headers.items()}, body)
    response: Any = django.get_response(request)
    response._handler_class = type(django)  # the sender of `request_finished`
    if not _is_stream(response):
        response.close()
    return response


def _is_stream(response: Any) -> bool:
    """Return whether the response is made piece by piece; a file is not."""
    return response.streaming and not isinstance(getattr(response, "file_to_stream", None), io.BufferedReader)


# --- the response


async def _send(response: Any, receive: Receive, send: Send) -> None:
    """Send the response: files from the disk, so that a slow reader keeps none in memory, streams piece by piece."""
    head = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    head += [(b"set-cookie", cookie.output(header="").strip().encode()) for cookie in response.cookies.values()]
    start = {"type": "http.response.start", "status": response.status_code, "headers": head}
    if _is_stream(response):
        return await _stream(start, response, receive, send)
    await send(start)
    if response.streaming:
        await send({"type": "http.response.pathsend", "path": response.file_to_stream.name})
    else:
        await send({"type": "http.response.body", "body": response.content})


async def _stream(start: Message, response: Any, receive: Receive, send: Send) -> None:
    """Send a response piece by piece; a thread is in use only while it makes a piece.

    `send` waits until the reader has room, so the next piece is made only then, and few are in memory. If the reader
    disconnects, or has no room within PIECE_TIMEOUT, the response ends without its final message, so that it cannot be
    taken for a complete one.
    """
    pieces = iter(response)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await send(start)
        while (piece := await _in_thread(next, pieces, None)) is not None:
            sent = asyncio.ensure_future(send({"type": "http.response.body", "body": piece, "more_body": True}))
            await asyncio.wait({sent, gone}, timeout=PIECE_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or not sent.done():
                sent.cancel()
                return
            await sent
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await _in_thread(response.close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
