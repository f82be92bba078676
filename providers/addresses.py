"""Client IP addresses behind trusted proxies. Callers can forge headers, so only what our proxies add counts."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1000)
def networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a comma-separated text such as `192.0.2.0/24, 2001:db8::1`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",")) if text.strip() else ()


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
    """Parse an address. An IPv4 address that a dual-stack web server writes as IPv6 becomes IPv4 again."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
