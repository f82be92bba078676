"""Entry point of the web process, which `txnproject.webserver` starts.

The event loop reads the body before the request gets one of the few threads that run Django. A slow or incomplete
body therefore occupies a connection for up to `BODY_TIMEOUT`, and no thread.
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
from django.http import HttpResponse
from django.urls import set_script_prefix
from django.utils.encoding import repercent_broken_unicode

from clients.authentication import is_in_use
from providers.answers import charset_of
from transactions.api.parsing import MAX_BODY
from transactions.api.problems import RETRY_AFTER, problem_body
from txnproject.connections import Connections
from webhooks.incoming import refusals

CLIENT_THREADS = 12
"""Number of requests with a key in use that Django handles at a time; each thread keeps a database connection."""
OTHER_THREADS = 4
"""The same for all other requests: strangers may send any number of them, and must not delay those of clients."""
BODY_TIMEOUT = 10.0
"""Timeout in seconds for the complete body, from the end of the headers."""
PIECE_TIMEOUT = 60.0
"""Timeout in seconds for the reader of a streamed response to receive one piece."""
MOST_TAKEN = 1000
"""Limit on requests in this process, including those that wait for a thread. A client that disconnects frees its
connection, but its request still waits here."""

AUTHENTICATED = ("/v1/transactions", "/v1/endpoint", "/webhooks/")
"""Paths whose successful responses prove that the connection belongs to a client or provider."""

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_taken = 0
_client_threads = ThreadPoolExecutor(CLIENT_THREADS, thread_name_prefix="client")
_threads = ThreadPoolExecutor(OTHER_THREADS, thread_name_prefix="web")
_probe_threads = ThreadPoolExecutor(2, thread_name_prefix="probe")
"""Threads for `/readyz`: those of requests may all wait for a database that does not respond."""
_connections = Connections()


class Unread(io.BytesIO):
    """A body that was not read completely. Django turns its error into an `UnreadablePostError`. A view that does not
    read the body gets no error."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise TimeoutError("The body did not arrive in time")

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.read()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Handle one request: the ASGI application."""
    global _taken
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    if scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
        # It uses no store, so it runs on the event loop: it responds also while all threads wait.
        return await _send(_respond(scope, _headers(scope), io.BytesIO()), receive, send)
    if _taken >= MOST_TAKEN:
        return await _send(_refusal(scope["path"]), receive, send)
    _taken += 1
    peer, known = tuple(scope["client"]), False
    _connections.begin(peer)
    try:
        headers = _headers(scope)
        body = await _read_body(scope, headers, receive)
        response = await _in_thread(_pool(scope, headers), _respond, scope, headers, body)
        known = response.status_code < 300 and scope["path"].startswith(AUTHENTICATED)
        if not known and _connections.closes(peer):
            response["Connection"] = "close"
        await _send(response, receive, send)
    finally:
        _connections.end(peer, known=known)
        _taken -= 1


async def _live(receive: Receive, send: Send) -> None:
    """Run the background threads from the start of this process to its end: they write the counts of refused webhooks,
    and close idle connections."""
    threads = (refusals.writer(), _connections.sweeper())
    while (await receive())["type"] != "lifespan.shutdown":
        for thread in threads:
            thread.start()
        await send({"type": "lifespan.startup.complete"})
    for thread in threads:
        await _in_thread(_threads, thread.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _in_thread(pool: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
    return asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


def _pool(scope: Message, headers: Mapping[bytes, bytes]) -> ThreadPoolExecutor:
    """Return the threads for a request. This depends on its key, which Django authenticates later."""
    if scope["path"] == "/readyz":
        return _probe_threads
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    return _client_threads if scope["path"].startswith("/v1/") and is_in_use(authorization) else _threads


def _refusal(path: str) -> HttpResponse:
    """Return the answer 503 without calling Django's middleware, in the form of `transactions.api.problems`."""
    headers = {"Retry-After": RETRY_AFTER, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    body = json.dumps(problem_body("unavailable", path))
    return HttpResponse(body, status=503, content_type="application/problem+json", headers=headers)


# --- the request


def _headers(scope: Message) -> dict[bytes, bytes]:
    """Return the headers that Django gets.

    Names with underscores are dropped, because Django cannot distinguish a client's X_Forwarded_For from the proxy's
    X-Forwarded-For. Files are sent whole, so Range is ignored. Of the parameters of the content type, webhooks keep a
    known charset. The others are dropped: Python caches the name of each charset that it looks up.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if b"_" not in name and name != b"range":
            separator = b"; " if name == b"cookie" else b","
            headers[name] = headers[name] + separator + value if name in headers else value
    kind, _, parameters = headers.get(b"content-type", b"").partition(b";")
    if scope["path"].startswith("/webhooks/") and (charset := charset_of(parameters.decode("latin-1"))):
        kind += b"; charset=" + charset.encode()
    headers[b"content-type"] = kind
    return headers


async def _read_body(scope: Message, headers: dict[bytes, bytes], receive: Receive) -> IO[bytes]:
    """Read the body up to the first piece beyond MAX_BODY, and set its true length in the headers.

    A body is left unread if its header says that it is too large, or if the request lacks the API key that it needs.
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
    """Return whether the response is generated in pieces; a file is not."""
    return response.streaming and not isinstance(getattr(response, "file_to_stream", None), io.BufferedReader)


# --- the response


async def _send(response: Any, receive: Receive, send: Send) -> None:
    """Send the response: files from the disk, so that slow readers do not keep them in memory; streams in pieces."""
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
    """Send a response in pieces; a thread is in use only while it generates a piece.

    `send` waits until the reader has room, and only then the next piece is generated, so few are in memory. If the
    reader disconnects, or has no room within PIECE_TIMEOUT, the response ends without its final message, so that the
    reader can tell that it is incomplete.
    """
    pieces = iter(response)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await send(start)
        while (piece := await _in_thread(_threads, next, pieces, None)) is not None:
            sent = asyncio.ensure_future(send({"type": "http.response.body", "body": piece, "more_body": True}))
            await asyncio.wait({sent, gone}, timeout=PIECE_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or not sent.done():
                sent.cancel()
                return
            await sent
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await _in_thread(_threads, response.close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
