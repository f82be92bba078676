"""Outbound HTTP: one bounded, guarded call, and what is known of it afterwards.

The three ways a call can end without an answer differ in what the caller may do next, so each is a class:
`NotSent` (safe to send again) and `OutcomeUnknown` (it may have taken effect: look before sending again); with
whatever status, an answer is a `Response`.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from workers.registry import Call

MAX_ANSWER = 16 * 1024
"""Bytes of an answer that are read; an endpoint that streams for ever costs no more."""
CONNECT_TIMEOUT = 10.0
"""Seconds to reach the other side; until then nothing was sent."""
EXCERPT = 500
"""Characters of an answer that are kept for operators."""
RESOLVING = 128
"""Names that are looked up at a time, for all lanes."""
KEEPALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which common servers (Node.js) close theirs, because a
POST that meets a closing connection is one whose outcome is unknown."""

CLOSED = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Azure's service for its machines, which is at a public address; and what older Pythons take for public ones."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052)."""
UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given to anybody on the internet."""

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
    """It may have taken effect, now or later: look before sending again."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `body` is its first 16 KiB, `call` the record for operators."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    call: Call

    def retry_after(self) -> float | None:
        """The seconds that Retry-After asks for (RFC 9110, 10.2.3: a number or a date); None when it does not."""
        value = self.headers.get("Retry-After", "")
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return None


class Forbidden(OSError):
    """The address is not one that this service calls: OUTBOUND_ALLOWED_HOSTS opens named hosts."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EACCES, why)


class Http:
    """What handlers call with. Open it inside the event loop (`async with Http(allowed)`); it pools connections."""

    def __init__(self, allowed_hosts: list[str]) -> None:
        self._allowed = frozenset(allowed_hosts)

    async def __aenter__(self) -> Http:
        # Names are resolved in threads. The default is a handful: a slow resolver of one lane's host would hold up all.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVING, thread_name_prefix="resolve"))
        self._guarded = _session(GuardedResolver(), _public_socket)
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
        """One call, redirects not followed, `within` so many seconds. Raises NotSent or OutcomeUnknown.

        What is `hidden` is kept out of the record for operators, should the other side repeat it.
        """
        started_at, clock = datetime.now(UTC), time.perf_counter()

        reached: list[float] = []

        def record(**what: Any) -> Call:
            took = round((time.perf_counter() - clock) * 1000)
            what["connect_ms"] = round((reached[-1] - clock) * 1000) if reached else took
            return Call(method, url.partition("?")[0], started_at, took, **what)  # a query may hold a secret

        try:
            async with self._session_for(url).request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                trace_request_ctx=reached,
                timeout=aiohttp.ClientTimeout(total=within, sock_connect=min(CONNECT_TIMEOUT, within)),
            ) as answer:
                content = await _bounded(answer)
                call = record(http_status=answer.status, excerpt=redact(content, hidden))
                return Response(answer.status, answer.headers, content, call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Until there was a connection (DNS, TCP, TLS) nothing can have been sent; after that, all of it may have.
            ended = OutcomeUnknown if reached else NotSent
            raise ended(_say(error), record(error=_say(error))) from error

    def _session_for(self, url: str) -> aiohttp.ClientSession:
        """The session whose connections may go there. Raises Forbidden for plain http to a host that is not named."""
        parts = URL(url, encoded=True)
        host = parts.host or ""
        if host in self._allowed:
            return self._open
        if parts.scheme != "https":
            raise Forbidden(f"{parts.scheme or 'an address without a scheme'} is not allowed: https only")
        return self._guarded


def _session(
    resolver: AbstractResolver, socket_factory: aiohttp.SocketFactoryType | None = None
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the lanes' limits decide what is in flight
        keepalive_timeout=KEEPALIVE,
        resolver=resolver,
        ttl_dns_cache=30,
        socket_factory=socket_factory,
    )
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[_note_connections()]
    )
    # It would repeat a GET or PUT by itself when the connection breaks: one call here is one call there.
    session._retry_connection = False
    return session


def _note_connections() -> aiohttp.TraceConfig:
    """Tells each call, through the list that is its context, when it had a connection."""

    async def note(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.append(time.perf_counter())

    noted = aiohttp.TraceConfig()
    noted.on_connection_create_end.append(note)
    noted.on_connection_reuseconn.append(note)
    return noted


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to a private address, be it among others."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for address in found:
            refuse_private(address["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _public_socket(target: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for the address that is about to be connected to: the last look at it, be it literal or resolved.

    A name that changes its answer between two looks (DNS rebinding) thus gains nothing.
    """
    family, kind, proto, _, address = target
    refuse_private(str(address[0]))
    return socket.socket(family, kind, proto)


def refuse_private(host: str) -> None:
    """Raise Forbidden for an IP address that is not a public one, however it is written; a name passes."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:  # what the C library takes for an address too: decimal, octal, short forms
            address = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, UnicodeEncodeError):
            return
    if not _is_public(address):
        raise Forbidden("a private address is not allowed")


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is somebody's on the internet. An IPv6 address that leads to an IPv4 one is what that is."""
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
    """The start of an answer for operators: readable, without what is or looks like a secret, and storable as text."""
    text = hide(content.decode("utf-8", "replace"), hidden)[: EXCERPT * 4].replace("\x00", "�")
    return _SECRETS.sub(r"\1\2***", text)[:EXCERPT]


def hide(text: str, hidden: Collection[str]) -> str:
    """The text with `***` for each of these, also as JSON may write it."""
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
