"""Guard of outbound calls against private addresses (SSRF)."""

import errno
import ipaddress
import socket

import aiohttp
from aiohttp.abc import ResolveResult

CLOSED = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Azure's internal service at a public address, and networks that older Pythons take for public."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052)."""
ADDRESSES = 2
"""Addresses of IPv4 and of IPv6 that a call tries. Each that does not answer holds an open file meanwhile."""
UNICAST = ipaddress.ip_network("2000::/3")
"""The IPv6 addresses that are assigned on the internet."""


class Forbidden(OSError):
    """This service does not call the address. To allow its host, add it to OUTBOUND_ALLOWED_HOSTS."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EACCES, reason)


class GuardedResolver(aiohttp.ThreadedResolver):
    """Resolver that refuses names with a private address among theirs, and returns `ADDRESSES` of each family."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        kept: dict[int, list[ResolveResult]] = {}
        for address in found:
            refuse_private(address["host"])
            kept.setdefault(address["family"], []).append(address)
        return [address for addresses in kept.values() for address in addresses[:ADDRESSES]]


def public_socket(target: aiohttp.AddrInfoType) -> socket.socket:
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
