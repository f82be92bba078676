"""Outbound HTTP: bounded, guarded calls, and the record of each.

An answer is a `Response`, regardless of its status: its status line and headers have arrived, and its body changes
nothing about them. A call without an answer raises `NotSent` (safe to send again) or `OutcomeUnknown` (it may have
taken effect: check before sending again).
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from django.conf import settings
from yarl import URL

from workers import clock, own_faults
from workers.foundation.compression import decompress
from workers.foundation.hosts import same_host
from workers.foundation.redaction import mask_secrets, mask_urls
from workers.foundation.text import as_storable
from workers.outbound_connections import open_session
from workers.outbound_guard import Forbidden, GuardedResolver, public_socket
from workers.outcomes import Call

CONNECT_TIMEOUT = 10.0
"""Timeout in seconds for the connection; nothing is sent before it is made."""
EXCERPT = 500
"""Limit in characters on the excerpt of an answer that operators see."""
RESOLVING = 128
"""Limit on host names resolved at a time, over all lanes."""
MAX_RETRY_AFTER = 86_400.0
"""Upper bound in seconds for a Retry-After, which may be any text."""
REPEATED = "sent again on a new connection: the kept one was closed before an answer"
"""Note in the record of a call that was repeated."""

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]*)?", re.ASCII)


class CallFailed(Exception):
    """The call ended without an answer."""

    def __init__(self, message: str, call: Call) -> None:
        super().__init__(message)
        self.call = call


class NotSent(CallFailed):
    """Nothing reached the other side: safe to send again."""


class OutcomeUnknown(CallFailed):
    """It may have taken effect, or may do so later: check before sending again."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Limits on reading an answer's body, in bytes and in seconds from the end of its headers."""

    most: int
    within: float


FULL = BodyLimit(1024 * 1024, 10.0)
"""For answers that are read. Usual ones have up to 20 KB."""
EXCERPT_ONLY = BodyLimit(16 * 1024, 1.0)
"""For answers whose status line says all."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `call` is the record for operators."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # may repeat our secrets
    body: bytes = field(repr=False)
    call: Call
    whole: bool = True
    """False if the body broke off, exceeded the limit or has an unknown encoding: then its text proves nothing."""

    def retry_after(self) -> float | None:
        """Return the seconds of Retry-After (RFC 9110, 10.2.3: a number or a date), at most `MAX_RETRY_AFTER`.

        None without a valid one. A number may have a fraction, as some servers send it.
        """
        value = self.headers.get("Retry-After", "").strip()
        if (value.isascii() and value.isdigit()) or _SECONDS.fullmatch(value):
            return min(float(value[:400]), MAX_RETRY_AFTER)
        try:
            seconds = (parsedate_to_datetime(value) - clock.database.now()).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(0.0, seconds), MAX_RETRY_AFTER) if math.isfinite(seconds) else None


@dataclass(slots=True)
class _StartedCall:
    """A call in progress; the session sets `connected_at` and `reused`."""

    method: str
    url: str
    note: str = ""
    started_at: datetime = field(default_factory=lambda: clock.database.now())
    clock: float = field(default_factory=time.perf_counter)
    connected_at: float | None = None
    reused: bool = False

    def record(self, **result: Any) -> Call:
        """Return the record of the call, which ends now. The URL's query and user are left out: they may be secret."""
        took = time.perf_counter() - self.clock
        connect = took if self.connected_at is None else self.connected_at - self.clock
        result["connect_ms"] = round(connect * 1000)
        result["error"] = result.get("error") or self.note
        url = mask_urls(self.url.partition("?")[0])
        return Call(self.method, url, self.started_at, round(took * 1000), **result)

    def failed(self, error: BaseException) -> CallFailed:
        """Return the exception of the call. Before there was a connection (DNS, TCP, TLS) nothing can have been sent;
        after that, all of it may have."""
        failure = NotSent if self.connected_at is None else OutcomeUnknown
        said = _say(error)
        if limit := self._limit_of(error):
            own_faults.report(limit)
            said = own_faults.PREFIX + said
        return failure(said, self.record(error=said, made=not limit))

    def _limit_of(self, error: BaseException) -> str:
        """Return the limit of this host that is the cause. Without IPv6, each IPv6 address is EADDRNOTAVAIL."""
        limit = own_faults.limit_of(error)
        return "" if limit == "EADDRNOTAVAIL" and ":" in (URL(self.url).host or "") else limit


class Http:
    """The handlers' HTTP client. Open it in the event loop (`async with Http(hosts)`)."""

    def __init__(self, allowed_hosts: list[str]) -> None:
        self._allowed = frozenset(allowed_hosts)
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Http:
        # Names are resolved in threads. With the few default ones, one lane's slow resolver would delay all lanes.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVING, thread_name_prefix="resolve"))
        agent = f"transaction-relay/{settings.VERSION}"
        for new in (False, True):
            self._sessions[True, new] = open_session(agent, GuardedResolver(), new=new, socket_factory=public_socket)
            self._sessions[False, new] = open_session(agent, aiohttp.ThreadedResolver(), new=new)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        within: float,
        limit: BodyLimit = FULL,
        once: bool = False,
        hidden: Collection[str] = (),
    ) -> Response:
        """Make one call with a timeout of `within` seconds; redirects are not followed. Raises NotSent, OutcomeUnknown.

        A call that may happen `once` only gets a new connection: the other side may be closing a kept one at this
        moment, and nobody could tell if it had read the request. Other calls use kept connections, and are repeated
        on a new one if the kept one ends without an answer.

        The texts in `hidden` are masked in the record for operators, in case the other side repeats them.
        """
        started = _StartedCall(method, url)
        for new in (once, True):
            try:
                session = self._session_for(url, new)
                timeout = aiohttp.ClientTimeout(total=within, sock_connect=min(CONNECT_TIMEOUT, within))
                async with session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    trace_request_ctx=started,
                    timeout=timeout,
                ) as answer:
                    content, whole = await _read(answer, limit)
                break
            except (aiohttp.ClientError, TimeoutError, OSError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not own_faults.limit_of(error):
                    raise
                within -= time.perf_counter() - started.clock
                if new or within <= 0 or not (started.reused and _is_lost(error)):
                    raise started.failed(error) from error
                started = _StartedCall(method, url, REPEATED)
        call = started.record(http_status=answer.status, excerpt=redact(content, hidden))
        return Response(answer.status, answer.headers, content, call, whole)

    def _session_for(self, url: str, new: bool) -> aiohttp.ClientSession:
        """Return the session for this URL. Raises Forbidden for plain http to a host that is not explicitly allowed."""
        parts = URL(url, encoded=True)
        if same_host(parts.host or "") in self._allowed:
            return self._sessions[False, new]
        if parts.scheme != "https":
            raise Forbidden(f"{parts.scheme or 'an address without a scheme'} is not allowed: https only")
        return self._sessions[True, new]


def _is_lost(error: BaseException) -> bool:
    """Return whether the connection ended; a timeout is no such proof."""
    return isinstance(error, aiohttp.ClientConnectionError) and not isinstance(error, TimeoutError)


async def _read(answer: aiohttp.ClientResponse, limit: BodyLimit) -> tuple[bytes, bool]:
    """Return the body as far as it can be read within the limit, and whether it is whole."""
    content, whole = bytearray(), True
    try:
        async with asyncio.timeout(limit.within):
            async for piece in answer.content.iter_any():
                content += piece
                if len(content) > limit.most:
                    whole = False
                    break
    except (aiohttp.ClientError, TimeoutError, OSError, MemoryError):
        whole = False
    raw = bytes(content[: limit.most])
    encoding = answer.headers.get("Content-Encoding", "")
    decoded = decompress(raw, encoding, limit.most, whole=True)
    if decoded is None:
        return decompress(raw, encoding, limit.most) or raw, False
    return decoded, whole and len(decoded) < limit.most


def redact(content: bytes, hidden: Collection[str] = ()) -> str:
    """Return the start of an answer as text for operators, with everything masked that is or looks like a secret."""
    text = hide(content[: EXCERPT * 32].decode("utf-8", "replace"), hidden)[: EXCERPT * 4].replace("\x00", "�")
    return mask_secrets(text)[:EXCERPT]


def hide(text: str, hidden: Collection[str]) -> str:
    """Replace each of these secrets, also in JSON notation, by `***`."""
    for secret in sorted(hidden, key=len, reverse=True):
        for written in (secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/")):
            text = text.replace(written, "***")
    return text


def _say(error: BaseException) -> str:
    """Return an error in words; those of aiohttp may contain the URL."""
    return as_storable(mask_urls(f"{type(error).__name__}: {error}").rstrip(": ").replace("\x00", ""), EXCERPT)
