"""Who calls, when the call came through proxies of ours."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address that the outermost of our proxies was called from; None where it is no IP address (a socket, say).

    Each of the `TRUSTED_PROXIES` has put the address of its caller at the end of X-Forwarded-For. What stands before
    those is the client's own word.
    """
    told = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    hops = [*filter(str.strip, told), request.META.get("REMOTE_ADDR", "")]
    found = hops[-min(settings.TRUSTED_PROXIES + 1, len(hops))]
    try:
        return str(ip_address(found.strip()))
    except ValueError:
        return None
