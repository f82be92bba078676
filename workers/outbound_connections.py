"""Sessions of outbound HTTP: connections on which nothing behind an answer's status line can hide it."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpVersion11, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy

KEEPALIVE = 4.0
"""Seconds for which an idle connection is kept. Common servers (Node.js) close theirs after 5 s."""
MAX_HEADER = 64 * 1024 + 1024
"""Limit in bytes on a header's line: 64 KiB and its name."""
MAX_HEADERS = 1000
MAX_HEAD = 512 * 1024
"""Limit in bytes on the status line and all headers of an answer."""
MAX_INFORMATIONAL = 100
"""Limit on informational heads (1xx) before an answer: reading a flood of them would delay all other calls."""

_STATUS_LINE = re.compile(rb"\s*HTTP/\d(?:\.\d)? ([1-9]\d\d)[ \r\n]")
_HEAD_END = re.compile(rb"\n\r?\n")


def open_session(agent: str, resolver: AbstractResolver, *, new: bool, **options: Any) -> aiohttp.ClientSession:
    """Return a session without cookies, retries or a limit on connections: the lanes have limits.

    With `new`, each call gets a connection of its own. The trace context of each call gets `connected_at`, and `reused`
    if it uses a kept connection.
    """
    if not new:
        options["keepalive_timeout"] = KEEPALIVE
    pool = aiohttp.TCPConnector(resolver=resolver, limit=0, ttl_dns_cache=30, force_close=new, **options)
    pool._factory = partial(AnswerReader, loop=asyncio.get_running_loop())  # type: ignore[assignment]
    session = aiohttp.ClientSession(
        connector=pool,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        trace_configs=[_note_connections()],
        # Decoding by aiohttp would turn a wrong Content-Encoding into a call without an answer.
        auto_decompress=False,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        max_headers=MAX_HEADERS,
    )
    # aiohttp would repeat a GET or PUT on a broken connection; here one call is one request.
    session._retry_connection = False
    return session


def _note_connections() -> aiohttp.TraceConfig:
    """Set `connected_at` and `reused` of each call, which is its request's trace context."""

    async def created(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.connected_at = time.perf_counter()

    async def reused(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.connected_at = time.perf_counter()
        context.trace_request_ctx.reused = True

    noted = aiohttp.TraceConfig()
    noted.on_connection_create_end.append(created)
    noted.on_connection_reuseconn.append(reused)
    return noted


class AnswerReader(ResponseHandler):
    """A connection's reader that hands over the head of an answer before it looks at the bytes behind it.

    aiohttp drops an answer without a trace when its parser refuses a header, or a body that arrives together with the
    head: a wrong chunk, a body after 204, bytes after the end. The status line has decided by then: it is kept, with
    the headers if they can be read.
    """

    _head = bytearray()
    """The bytes of the head so far; frozen once the answer is handed over."""
    _answered = True
    _informational = 0

    def set_response_params(self, **params: Any) -> None:
        """Begin to read the next answer."""
        self._head, self._answered, self._informational = bytearray(), False, 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Feed the parser with each head by itself; informational ones (1xx) precede the answer's.

        Bytes after the end of the answer close the connection: they would be read as the answer to the next request.
        """
        if data and self._answered and not self._upgraded and (self._payload is None or self._payload.is_eof()):
            self._should_close = True
            self.close()
            return
        if not self._head and not self._answered:
            data = data.lstrip(b"\r\n")  # a peer that sends nothing else must not cost time
        while data and not self._answered:
            known = len(self._head)
            self._head += data
            end = _HEAD_END.search(self._head, max(0, known - 2))
            if end is None:
                break
            head, data = data[: end.end() - known], data[end.end() - known :]
            super().data_received(head)
            self._answered = self._answered or self._status() >= 200 or self._exception is not None
            if not self._answered:
                self._head = bytearray()
                self._informational += 1
                if self._informational > MAX_INFORMATIONAL:
                    return self._refuse("too many informational answers")
        if data:
            super().data_received(data)
        if not self._answered and len(self._head) > MAX_HEAD:
            self._refuse("the headers are too long")

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """End the answer: by its status alone if the parser refused its headers, without the rest of its body later."""
        if isinstance(exc, HttpProcessingError) and not self._answered and self._status() >= 200:
            self._answered = self._should_close = True
            self._drop_timeout()
            self.feed_data((self._bare_answer(), self._unreadable_body()), 0)
            return
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError(str(exc)))
        super().set_exception(exc, *cause)

    def _refuse(self, why: str) -> None:
        self.set_exception(HttpProcessingError(message=why))
        if self.transport is not None:
            self.transport.close()

    def _status(self) -> int:
        """Return the status of the head so far; 0 if it has no readable status line."""
        line = _STATUS_LINE.match(self._head)
        return int(line[1]) if line else 0

    def _bare_answer(self) -> RawResponseMessage:
        none = CIMultiDictProxy(CIMultiDict[str]())
        return RawResponseMessage(HttpVersion11, self._status(), "", none, (), True, None, False, False)

    def _unreadable_body(self) -> StreamReader:
        body = StreamReader(self, 0, loop=self._loop)
        body.set_exception(aiohttp.ClientPayloadError("the headers are invalid, so the body cannot be read"))
        return body
