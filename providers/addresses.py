"""Client IP addresses behind trusted proxies. Callers can forge headers, so only what our proxies add counts."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MAPPED = 96
"""Bits of the prefix ::ffff:0:0/96, under which IPv6 writes IPv4 addresses."""
NODE = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
"""An address in brackets or of IPv4, and perhaps a port or its obfuscated name (RFC 7239, section 6)."""


@lru_cache(maxsize=1000)
def networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a comma-separated text such as `192.0.2.0/24, 2001:db8::1`. Raises ValueError."""
    return tuple(_network(part.strip()) for part in text.split(",")) if text.strip() else ()


def _network(text: str) -> Network:
    """Parse a network. An IPv4 network that is written as IPv6 becomes IPv4, as `_address` does with addresses."""
    network = ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ip_network((mapped, network.prefixlen - MAPPED)) if mapped and network.prefixlen >= MAPPED else network


def proxies(text: str) -> int | tuple[Network, ...]:
    """Return the value of TRUSTED_PROXIES: the number of proxies or their networks. Raises ValueError."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else networks(text)


def caller(request: HttpRequest) -> Address | None:
    """Return the client's address: the peer's, or the one that our proxies report; None if it is unknown.

    X-Forwarded-For is read from the right. Each proxy appends the address that called it, so the entries that a client
    forges are to the left of those that our proxies added, and are never reached.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    chain = [*(forwarded.split(",") if forwarded else []), request.META.get("REMOTE_ADDR", "")]
    trusted = proxies(settings.TRUSTED_PROXIES)
    if isinstance(trusted, int):
        # A shorter chain means that the request bypassed the proxies.
        return _address(chain[-1 - trusted]) if trusted < len(chain) else None
    found = None
    for text in reversed(chain):
        found = _address(text)
        if found is None or not any(found in network for network in trusted):
            break
    return found


def may_call(request: HttpRequest, allowed: str) -> bool:
    """Return whether the client's address is in one of the `allowed` networks; an empty text allows all clients."""
    if not (among := networks(allowed)):
        return True
    address = caller(request)
    return address is not None and any(address in network for network in among)


def _address(text: str) -> Address | None:
    """Parse an address of the peer or an entry of X-Forwarded-For; return None for any other text.

    Proxies write entries with a port, in quotes, in brackets, or as an element of RFC 7239 such as
    `for="[2001:db8::1]:443";proto=https`. An IPv4 address that a dual-stack web server writes as IPv6 becomes IPv4.
    """
    if "=" in text:
        parameters = [parameter.partition("=") for parameter in text.split(";")]
        named = [value for name, _, value in parameters if name.strip().lower() == "for"]
        text = named[0] if len(named) == 1 else ""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    node = NODE.fullmatch(text)
    try:
        address = ip_address((node[1] or node[2] if node else text).partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
