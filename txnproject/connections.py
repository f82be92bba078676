"""Open connections of a web process. Near their limit, those that were idle for longest are closed.

granian accepts no connection beyond its limit, not even for `/healthz`, and its one timeout for idle connections has to
outlast those of load balancers. An idle connection has no response that could carry `Connection: close`, so a thread
shuts down its socket. granian does not show its sockets, so it is found among the descriptors of the process.
"""

import contextlib
import os
import socket
import time
from collections import Counter

from workers.periodic import PeriodicThread

CROWDED = 750
"""Connections from which on a response closes its connection, and idle ones are closed. The rest of
`webserver.MAX_CONNECTIONS` is room for new ones, such as those of health probes."""
LEAST_IDLE = 3.0
"""Seconds without a request before a connection may be closed: time for its next request, or for its first headers."""
INTERVAL = 0.25
"""Seconds between two sweeps; new connections may fill the room in that time."""
MOST_KNOWN = 10_000
"""Limit on remembered connections; closed ones are forgotten at the next sweep of a crowded process."""
DESCRIPTORS = "/dev/fd"

Peer = tuple[str, str]
"""Address and port of a client: they identify its connection."""


class Connections:
    """The connections of clients: which of them have a running request, and when the others had one."""

    def __init__(self) -> None:
        self.crowded = False
        self._running: Counter[Peer] = Counter()
        self._idle_since: dict[Peer, float] = {}
        self._known: set[Peer] = set()
        """Connections whose last request had valid credentials: they are closed last."""

    def begin(self, peer: Peer) -> None:
        """Record that a request of this connection has begun."""
        self._running[peer] += 1

    def end(self, peer: Peer, *, known: bool) -> None:
        """Record that it has ended; `known` says that it had valid credentials."""
        self._idle_since[peer] = time.monotonic()
        (self._known.add if known else self._known.discard)(peer)
        self._running[peer] -= 1
        if not self._running[peer]:
            del self._running[peer]

    def closes(self, peer: Peer) -> bool:
        """Return whether a response should close this connection, which had no valid credentials so far."""
        return self.crowded and peer not in self._known

    def sweeper(self) -> PeriodicThread:
        """Return a thread that sweeps regularly."""
        return PeriodicThread("connections", self.sweep, every=INTERVAL)

    def sweep(self) -> None:
        """Close as many idle connections as exceed CROWDED: strangers first, then by their idle time."""
        descriptors = os.listdir(DESCRIPTORS)  # noqa: PTH208  only the names are needed
        open_ = _clients(descriptors) if len(descriptors) > CROWDED else {}  # includes others: a quick look is enough
        self.crowded = len(open_) > CROWDED
        if self.crowded or len(self._idle_since) > MOST_KNOWN:
            self._forget(open_)
        if self.crowded:
            for peer in self._idlest(open_):
                _shut_down(open_[peer], peer)

    def _forget(self, open_: dict[Peer, int]) -> None:
        """Forget the connections that are closed; begin the idle time of those without a request so far."""
        now, before = time.monotonic(), self._idle_since.copy()
        for peer in before.keys() - open_.keys():
            self._idle_since.pop(peer, None)
            self._known.discard(peer)
        for peer in open_.keys() - before.keys():
            self._idle_since.setdefault(peer, now)

    def _idlest(self, open_: dict[Peer, int]) -> list[Peer]:
        """Return the connections to close: those with valid credentials only if there are too few others."""
        excess, latest = len(open_) - CROWDED, time.monotonic() - LEAST_IDLE
        since = self._idle_since.copy()
        waiting = [peer for peer in open_ if peer not in self._running]
        strangers = [peer for peer in waiting if peer not in self._known]
        chosen = strangers if len(strangers) >= excess else waiting
        idle = [peer for peer in chosen if since.get(peer, latest + 1) <= latest]
        return sorted(idle, key=lambda peer: (peer in self._known, since[peer]))[:excess]


def _clients(descriptors: list[str]) -> dict[Peer, int]:
    """Return the descriptors of the connections to the port on which this process listens."""
    ports, found = set(), {}
    for name in descriptors:
        try:
            one = socket.socket(fileno=int(name))
        except OSError:  # closed meanwhile, or another kind of descriptor
            continue
        try:
            if one.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            port = one.getsockname()[1]
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                ports.add(port)
            else:
                found[_peer(one)] = port, int(name)
        except OSError:  # its client has disconnected
            continue
        finally:
            one.detach()  # granian's: it must stay open
    return {peer: number for peer, (port, number) in found.items() if port in ports}


def _peer(one: socket.socket) -> Peer:
    host, port = one.getpeername()[:2]
    return host, str(port)


def _shut_down(number: int, peer: Peer) -> None:
    """Shut down a connection. The descriptor may have been closed and reused, so a duplicate is compared first."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as one:
        if _peer(one) == peer:
            one.shutdown(socket.SHUT_RDWR)
