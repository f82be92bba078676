"""TCP ports: which are free, and which the environment asks for."""

import os
import socket

from devstack.processes import StackError

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed do not count
            probe.bind(address)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def port_from(first: int) -> int:
    """The first free port from there on."""
    return next(port for port in range(first, 65536) if is_free(port))


def port_asked_for(host: str = LOOPBACK) -> int | None:
    """The PORT of the environment, None if it names none. It must be free: a server's own complaint is a riddle."""
    text = os.environ.get("PORT")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"PORT must be the number of a port, not {text!r}")
    if not is_free(int(text), host):
        raise StackError(
            f"Nothing can listen on port {text} of {host}: another program does, or it is not ours to take"
        )
    return int(text)
