"""Where a request comes from, as far as that can be known: a header that strangers can write proves nothing."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1000)
def networks(text: str) -> tuple[Network, ...]:
    """The networks in a comma separated text, such as `192.0.2.0/24, 2001:db8::1`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",")) if text.strip() else ()


def proxies(text: str) -> int | tuple[Network, ...]:
    """What TRUSTED_PROXIES says: how many there are, or which. Raises ValueError."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else networks(text)


def caller(request: HttpRequest) -> Address | None:
    """The address of who called, or of whom our proxies say that they were called by; None where nobody can tell.

    X-Forwarded-For is read from the right: each proxy adds whom it was called by, so that what a caller has written
    into it stands to the left of what ours have added, and is never reached.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    chain = [*(forwarded.split(",") if forwarded else []), request.META.get("REMOTE_ADDR", "")]
    trusted = proxies(settings.TRUSTED_PROXIES)
    if isinstance(trusted, int):
        # Fewer than there are proxies: it came past them.
        return _address(chain[-1 - trusted]) if trusted < len(chain) else None
    found = None
    for text in reversed(chain):
        found = _address(text)
        if found is None or not any(found in network for network in trusted):
            break
    return found


def may_call(request: HttpRequest, allowed: str) -> bool:
    """Whether the caller's address is in one of the `allowed` networks; none named: anybody's is."""
    if not (among := networks(allowed)):
        return True
    address = caller(request)
    return address is not None and any(address in network for network in among)


def _address(text: str) -> Address | None:
    """A web server that listens on both families writes an IPv4 address as one of IPv6."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
