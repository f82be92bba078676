"""Outbound HTTP: bounded, guarded calls, and the record of each.

An answer is a `Response`, regardless of its status. A call without an answer raises `NotSent` (safe to send again) or
`OutcomeUnknown` (it may have taken effect: check before sending again).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import re
import socket
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from workers.outcomes import Call

MAX_ANSWER = 16 * 1024
"""Limit in bytes on the body that is read of an answer; the rest of a longer one is ignored."""
CONNECT_TIMEOUT = 10.0
"""Timeout in seconds for the connection; nothing is sent before it is made."""
EXCERPT = 500
"""Limit in characters on the excerpt of an answer that operators see."""
RESOLVING = 128
"""Limit on host names resolved at a time, over all lanes."""
KEEPALIVE = 4.0
"""Seconds for which an idle connection is kept. Common servers (Node.js) close theirs after 5 s; a POST on a connection
that is being closed would have an unknown outcome."""

CLOSED = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Azure's internal service at a public address, and networks that older Pythons take for public."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052)."""
UNICAST = ipaddress.ip_network("2000::/3")
"""The IPv6 addresses that are assigned on the internet."""

_SECRETS = re.compile(
    r"(?i)(\"(?:api_?key|secret|token|password|authorization)\"\s*:\s*\")(?:[^\"\\]|\\.)+|(whsec_|bearer\s+|sk_)[^\s\",}]+"
)


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
class Response:
    """An answer; `body` is its first 16 KiB, `call` the record for operators."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    call: Call

    def retry_after(self) -> float | None:
        """Return the seconds of Retry-After (RFC 9110, 10.2.3: a number or a date); None without a valid one."""
        value = self.headers.get("Retry-After", "")
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return None


class Forbidden(OSError):
    """This service does not call the address. To allow its host, add it to OUTBOUND_ALLOWED_HOSTS."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EACCES, reason)


@dataclass(slots=True)
class _StartedCall:
    """A call in progress; `_note_connections` sets `connected_at`."""

    method: str
    url: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.perf_counter)
    connected_at: float | None = None

    def record(self, **result: Any) -> Call:
        """Return the record of the call, which ends now. The URL's query is left out: it may hold a secret."""
        took = time.perf_counter() - self.clock
        connect = took if self.connected_at is None else self.connected_at - self.clock
        result["connect_ms"] = round(connect * 1000)
        return Call(self.method, self.url.partition("?")[0], self.started_at, round(took * 1000), **result)


class Http:
    """The handlers' HTTP client, with pooled connections. Open it in the event loop (`async with Http(hosts)`)."""

    def __init__(self, allowed_hosts: list[str]) -> None:
        self._allowed = frozenset(allowed_hosts)

    async def __aenter__(self) -> Http:
        # Names are resolved in threads. With the few default ones, one lane's slow resolver would delay all lanes.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVING, thread_name_prefix="resolve"))
        self._guarded = _session(GuardedResolver(), socket_factory=_public_socket)
        self._open = _session(aiohttp.ThreadedResolver())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._guarded.close()
        await self._open.close()

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        within: float,
        hidden: Collection[str] = (),
    ) -> Response:
        """Make one call with a timeout of `within` seconds; redirects are not followed. Raises NotSent, OutcomeUnknown.

        The texts in `hidden` are masked in the record for operators, in case the other side repeats them.
        """
        started = _StartedCall(method, url)
        try:
            async with self._session_for(url).request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                trace_request_ctx=started,
                timeout=aiohttp.ClientTimeout(total=within, sock_connect=min(CONNECT_TIMEOUT, within)),
            ) as answer:
                content = await _bounded(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Before there was a connection (DNS, TCP, TLS) nothing can have been sent; after that, all of it may have.
            failure = NotSent if started.connected_at is None else OutcomeUnknown
            raise failure(_say(error), started.record(error=_say(error))) from error
        call = started.record(http_status=answer.status, excerpt=redact(content, hidden))
        return Response(answer.status, answer.headers, content, call)

    def _session_for(self, url: str) -> aiohttp.ClientSession:
        """Return the session for this URL. Raises Forbidden for plain http to a host that is not explicitly allowed."""
        parts = URL(url, encoded=True)
        host = parts.host or ""
        if host in self._allowed:
            return self._open
        if parts.scheme != "https":
            raise Forbidden(f"{parts.scheme or 'an address without a scheme'} is not allowed: https only")
        return self._guarded


def _session(resolver: AbstractResolver, **options: Any) -> aiohttp.ClientSession:
    """Return a session without cookies, retries or a limit on connections: the lanes have limits."""
    pool = aiohttp.TCPConnector(resolver=resolver, limit=0, keepalive_timeout=KEEPALIVE, ttl_dns_cache=30, **options)
    session = aiohttp.ClientSession(
        connector=pool, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[_note_connections()]
    )
    # aiohttp would repeat a GET or PUT on a broken connection; here one call is one request.
    session._retry_connection = False
    return session


def _note_connections() -> aiohttp.TraceConfig:
    """Set `connected_at` of each call, which is its request's trace context."""

    async def note(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.connected_at = time.perf_counter()

    noted = aiohttp.TraceConfig()
    noted.on_connection_create_end.append(note)
    noted.on_connection_reuseconn.append(note)
    return noted


class GuardedResolver(aiohttp.ThreadedResolver):
    """Resolver that refuses names with a private address among theirs."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for address in found:
            refuse_private(address["host"])
        return found


def _public_socket(target: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for an address, literal or resolved, after a last check of it.

    A name whose address changes between two lookups (DNS rebinding) is refused as well.
    """
    family, kind, proto, _, address = target
    refuse_private(str(address[0]))
    return socket.socket(family, kind, proto)


def refuse_private(host: str) -> None:
    """Raise Forbidden for an IP address that is not public, in any notation; names pass."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:  # other notations that the C library accepts: decimal, octal, short forms
            address = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, UnicodeEncodeError):
            return
    if not _is_public(address):
        raise Forbidden("a private address is not allowed")


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether the address is public. An IPv6 address that maps to an IPv4 one counts as the latter."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not _is_closed(address)
    if address.ipv4_mapped or address in NAT64:
        return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:  # a tunnel to an IPv4 network
        return False
    return address in UNICAST and address.is_global and not _is_closed(address)


def _is_closed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in CLOSED)


def redact(content: bytes, hidden: Collection[str] = ()) -> str:
    """Return the start of an answer as text for operators, with everything masked that is or looks like a secret."""
    text = hide(content.decode("utf-8", "replace"), hidden)[: EXCERPT * 4].replace("\x00", "�")
    return _SECRETS.sub(r"\1\2***", text)[:EXCERPT]


def hide(text: str, hidden: Collection[str]) -> str:
    """Replace each of these secrets, also in JSON notation, by `***`."""
    for secret in sorted(hidden, key=len, reverse=True):
        for written in (secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/")):
            text = text.replace(written, "***")
    return text


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    content = await answer.content.read(MAX_ANSWER)
    while len(content) < MAX_ANSWER and (more := await answer.content.read(MAX_ANSWER - len(content))):
        content += more
    return content


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ").replace("\x00", "")[:EXCERPT]
