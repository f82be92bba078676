"""Host names and origins in one form each, so that equal ones compare as equal."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
PORTS = {"http": 80, "https": 443}


def same_host(host: str) -> str:
    """Return the form in which hosts are compared: lower case, no final dot, no brackets, the short form of IPv6."""
    host = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def host_name(text: str) -> str:
    """Return a name or IP address in the form of `same_host`. Raises ValueError for anything else, such as a port."""
    host = same_host(text)
    if not _is_ipv6(host) and not NAME.fullmatch(host):
        raise ValueError(f"{text!r} is not a host name or IP address without scheme, port and path")
    return host


def host_pattern(text: str) -> str:
    """Return an entry of Django's ALLOWED_HOSTS: a host, `.` and a domain, or `*`. Raises ValueError."""
    if text == "*":
        return text
    return "." * text.startswith(".") + _in_url(host_name(text.removeprefix(".")))


def origin(text: str) -> str:
    """Return an origin as browsers write it, without the scheme's default port. Raises ValueError."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{text!r} has an invalid port or address") from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in PORTS or not parts.hostname or extra or port == 0:
        raise ValueError(f"{text!r} is not an origin such as https://shop.example or https://shop.example:8443")
    host = _in_url(host_name(parts.hostname))
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, PORTS[parts.scheme]) else "")


def form_origin(text: str) -> str:
    """Return an entry of CSRF_TRUSTED_ORIGINS: an origin, perhaps with `*.` before a domain. Raises ValueError."""
    if "://*." not in text:
        return origin(text)
    return origin(text.replace("://*.", "://", 1)).replace("://", "://*.", 1)


def _in_url(host: str) -> str:
    return f"[{host}]" if _is_ipv6(host) else host


def _is_ipv6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
