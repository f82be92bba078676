"""The web process's entry: `granian --interface asginl txnproject.asgi:application`.

A request's body is taken in here, by the event loop, and Django gets one of its few threads for it only then. So a body
that is sent slowly, or never to its end, holds a connection for `BODY_TIMEOUT` and no thread: nobody waits for it.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from txnproject.wsgi import application as django  # sets Django up: what is imported below needs it

# isort: split
from django.http import StreamingHttpResponse

from transactions.api.parsing import MAX_BODY
from transactions.api.problems import RETRY_AFTER, problem_body

THREADS = 16
"""Requests that Django works on at a time; each thread keeps a database connection."""
BODY_TIMEOUT = 10.0
"""Seconds for a body to be there as a whole, from the end of the headers on."""
PIECE_TIMEOUT = 60.0
"""Seconds for a reader to make room for the next piece of what is made piece by piece."""

Message = Mapping[str, Any]
Head = list[tuple[bytes, bytes]]
Answer = tuple[int, Head, bytes | Path]
"""Status, headers, and the content or the file that holds it."""

MOST_TAKEN = 1000
"""Requests in hand, those that wait for a thread among them. Most are nobody's by then: whoever hangs up frees a
connection, and not what waits here with its body."""

_taken = 0
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="web")


class Unread(io.RawIOBase):
    """In the place of a body that did not come, or was not waited for: reading it raises what Django makes an
    `UnreadablePostError` of. Whoever refuses a request without its body never notices."""

    def read(self, size: int = -1, /) -> bytes:
        raise TimeoutError("The body did not come in time")

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.read()


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    global _taken
    if _taken >= MOST_TAKEN:
        return await _send(send, *_too_many(scope))
    _taken += 1
    try:
        await _serve(scope, receive, send)
    finally:
        _taken -= 1


async def _serve(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    environ = _environ(scope)
    if _has_body(environ):
        await _take_body(environ, receive)
    status, headers, content = await asyncio.get_running_loop().run_in_executor(_threads, _answer, environ)
    if isinstance(content, StreamingHttpResponse):
        await _stream(receive, send, status, headers, content)
    else:
        await _send(send, status, headers, content)


async def _send(send: Callable[[Message], Awaitable[None]], status: int, headers: Head, content: bytes | Path) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if isinstance(content, Path):
        await send({"type": "http.response.pathsend", "path": str(content)})
    else:
        await send({"type": "http.response.body", "body": content})


async def _stream(
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    status: int,
    headers: Head,
    answer: StreamingHttpResponse,
) -> None:
    """Each piece has a thread only while it is made, and is made when the reader has made room for it: the server's
    `send` waits for that, so what is on the way stays within some pieces. Whoever hangs up, or makes no room within
    PIECE_TIMEOUT, ends it, and whatever ends it closes the answer. Cut off, it never looks like a whole one."""
    loop = asyncio.get_running_loop()
    gone = asyncio.ensure_future(_hung_up(receive))
    pieces = iter(answer)
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while (piece := await loop.run_in_executor(_threads, next, pieces, None)) is not None:
            sent = asyncio.ensure_future(send({"type": "http.response.body", "body": piece, "more_body": True}))
            await asyncio.wait({sent, gone}, timeout=PIECE_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or not sent.done():
                sent.cancel()
                return
            await sent
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await loop.run_in_executor(_threads, answer.close)


async def _hung_up(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_many(scope: Message) -> Answer:
    """A problem as `transactions.api.problems` makes it, without Django: that is what has no place for another."""
    body = problem_body("unavailable", scope["path"])
    headers = {
        "Content-Type": "application/problem+json",
        "Retry-After": RETRY_AFTER,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return 503, [(name.lower().encode(), value.encode()) for name, value in headers.items()], json.dumps(body).encode()


def _environ(scope: Message) -> dict[str, Any]:
    """What a WSGI server would say of this request; without its body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),  # Django writes nothing there
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ["SERVER_NAME"], environ["SERVER_PORT"] = (str(part) for part in scope.get("server") or ("localhost", "80"))
    for name, value in scope["headers"]:
        # WSGI could not tell X_Forwarded_For, which any client may send, from the proxy's X-Forwarded-For. And files go
        # out whole, from the disk.
        if b"_" in name or name == b"range":
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}" if key in environ else text
    # A body here is UTF-8, whatever its parameters say; Python keeps each name of a charset that it is asked for.
    environ["CONTENT_TYPE"] = environ.get("CONTENT_TYPE", "").partition(";")[0]
    environ["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH", "").lstrip("0")[:20] or "0"  # int() refuses 4300 digits
    return environ


def _has_body(environ: Mapping[str, Any]) -> bool:
    return environ["CONTENT_LENGTH"] != "0" or "HTTP_TRANSFER_ENCODING" in environ


async def _take_body(environ: dict[str, Any], receive: Callable[[], Awaitable[Message]]) -> None:
    """Put the body into the environ, with its length; no more of it than what is refused for its size anyway."""
    told = environ["CONTENT_LENGTH"]
    environ.update({"wsgi.input": Unread(), "CONTENT_LENGTH": told if told != "0" else str(MAX_BODY)})
    if not told.isdigit() or int(told) > MAX_BODY or _is_strangers(environ):
        return
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            while more and len(body) <= MAX_BODY:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        return
    environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})


def _is_strangers(environ: Mapping[str, Any]) -> bool:
    """Whether it will be refused for having no API key, whatever its body says."""
    return environ["PATH_INFO"].startswith("/v1/") and "HTTP_AUTHORIZATION" not in environ


def _answer(environ: dict[str, Any]) -> Answer | tuple[int, Head, StreamingHttpResponse]:
    head: Head = []

    def start(_: str, headers: list[tuple[str, str]], *__: object) -> Callable[[bytes], object]:
        head.extend((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        return bytes  # WSGI wants a function to write by; Django does not use it

    answer = django(environ, start)
    # Sent from the disk: a reader that takes it in slowly, or never, must not hold it in memory.
    file = getattr(answer, "file_to_stream", None)
    if isinstance(answer, StreamingHttpResponse) and not isinstance(file, io.BufferedReader):
        return answer.status_code, head, answer
    try:
        if isinstance(file, io.BufferedReader):
            return answer.status_code, head, Path(file.name)
        return answer.status_code, head, b"".join(answer)
    finally:
        answer.close()
