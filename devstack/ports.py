"""TCP ports: free ones, and the one that PORT names."""

import os
import socket

from devstack.processes import StackError

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return True if a server could listen on the port."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections closed recently
            probe.bind(address)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that is free now; another process may take it before it is used."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def free_port_from(first: int) -> int:
    """Return the first free port from `first` on."""
    return next(port for port in range(first, 65536) if is_free(port))


def requested_port(host: str = LOOPBACK) -> int | None:
    """Return the PORT of the environment, or None. Raises StackError if it is not a port or not free."""
    text = os.environ.get("PORT")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"PORT must be the number of a port, not {text!r}")
    if not is_free(int(text), host):
        raise StackError(f"Nothing can listen on port {text} of {host}: it is taken, or you lack the permission")
    return int(text)
