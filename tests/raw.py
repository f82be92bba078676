"""Server that sends the exact bytes of answers, also those that no HTTP library would send."""

import itertools
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

Piece = bytes | float | threading.Event
"""Bytes to send; a pause in seconds; or an event to wait for."""


@dataclass(frozen=True)
class Wire:
    """Answer to one request: its pieces, and then the end of the connection."""

    pieces: Iterable[Piece] = ()
    end: Literal["close", "reset", "silence", "keep"] = "close"
    """`silence`: the connection stays open until the server stops. `keep`: the next request follows."""


def wire(*pieces: Piece, end: Literal["close", "reset", "silence", "keep"] = "close") -> Wire:
    return Wire(pieces, end)


def ok(body: bytes = b"{}", status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an ordinary answer."""
    named = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} OK\r\n{lines}\r\n".encode() + body


class RawServer:
    """Server on a free loopback port at `url`; `answers` are given in order, the last one is repeated.

    `always` has the answers to methods that always get the same one.
    """

    def __init__(
        self, answers: Iterable[Wire], tls: ssl.SSLContext | None = None, always: Mapping[str, Wire] | None = None
    ) -> None:
        self.answers, self.always = list(answers), dict(always or {})
        self.asked: list[bytes] = []
        """The requests, with their bodies."""
        self.connections = 0
        self._tls, self._over, self._lock = tls, threading.Event(), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self._open: set[socket.socket] = set()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    @property
    def methods(self) -> list[str]:
        return [asked.partition(b" ")[0].decode() for asked in self.asked]

    def stop(self) -> None:
        self._over.set()
        for waiting in (self._listener, *self._open):
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            self._answer(connection)
        connection.close()

    def _answer(self, connection: socket.socket) -> None:
        while asked := self._request(connection):
            answer = self._take(asked)
            self._send(connection, answer)
            if answer.end == "silence":
                self._over.wait(30)
            if answer.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if answer.end != "keep":
                return

    def _take(self, asked: bytes) -> Wire:
        with self._lock:
            self.asked.append(asked)
            method = asked.partition(b" ")[0].decode()
            if method in self.always:
                return self.always[method]
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _request(self, connection: socket.socket) -> bytes:
        """Return the next request; nothing if the connection ends or the server stops before."""
        taken, length = b"", None
        while True:
            if length is None and (end := taken.find(b"\r\n\r\n")) >= 0:
                named = re.search(rb"(?i)\r\ncontent-length: *(\d+)", taken[:end])
                length = end + 4 + (int(named[1]) if named else 0)
            if length is not None and len(taken) >= length:
                return taken
            if self._over.is_set() or not (data := connection.recv(65536)):
                return b""
            taken += data

    def _send(self, connection: socket.socket, answer: Wire) -> None:
        for piece in answer.pieces:
            if self._over.is_set():
                return
            if isinstance(piece, bytes):
                connection.sendall(piece)
            elif isinstance(piece, float):
                self._over.wait(piece)
            else:
                piece.wait(10)


@contextmanager
def raw_serving(
    *answers: Wire, tls: ssl.SSLContext | None = None, always: Mapping[str, Wire] | None = None
) -> Iterator[RawServer]:
    server = RawServer(answers, tls, always)
    try:
        yield server
    finally:
        server.stop()


def endless(start: bytes, piece: bytes, pause: float = 0.0) -> Wire:
    """Return an answer that repeats a piece for ever, with a pause in seconds between."""
    between: tuple[Piece, ...] = (piece, pause) if pause else (piece,)
    return Wire(_Endless(start, between))


class _Endless:
    def __init__(self, start: bytes, pieces: tuple[Piece, ...]) -> None:
        self._start, self._pieces = start, pieces

    def __iter__(self) -> Iterator[Piece]:
        return itertools.chain((self._start,), itertools.cycle(self._pieces))
