"""Streamed responses: slow readers occupy neither memory nor a thread."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.serve import web_command
from tests.servers import until

pytestmark = pytest.mark.slow

ROWS, PIECES = 200_000, 200
ROW = b"order-1001,1250,EUR," + 140 * b"x" + b"\r\n"
WHOLE = ROWS * len(ROW)
APP = f"""
import json, threading
from concurrent.futures import ThreadPoolExecutor

from django.http import HttpResponse, StreamingHttpResponse

from txnproject import asgi

asgi.PIECE_TIMEOUT = 2.0
asgi._threads = ThreadPoolExecutor(2)  # as many as there are readers who take nothing in, below
known = {{"made": 0, "open": 0}}
PIECE = {ROWS // PIECES} * {ROW!r}

class Pieces:
    def __init__(self, bad):
        known["open"] += 1
        self.left, self.bad = {PIECES}, bad

    def __iter__(self):
        return self

    def __next__(self):
        if self.bad and self.left < {PIECES} - 5:
            raise OSError("the database is gone")
        if not self.left:
            raise StopIteration
        self.left -= 1
        known["made"] += 1
        return PIECE

    def close(self):
        known["open"] -= 1

class Django:
    def get_response(self, request):
        if request.path == "/known":
            return HttpResponse(json.dumps(known))
        return StreamingHttpResponse(Pieces(request.path == "/bad"))

asgi.django = Django()
application = asgi.application
"""


class Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port, self._process = port, psutil.Process(pid)

    def asked(self, path: str) -> socket.socket:
        connection = socket.create_connection((LOOPBACK, self.port), 20)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n".encode())
        return connection

    def known(self) -> dict[str, Any]:
        with self.asked("/known") as connection:
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found

    def memory(self) -> int:
        """Memory of all its processes in bytes."""
        return sum(one.memory_info().rss for one in (self._process, *self._process.children(recursive=True)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "streaming.py").write_text(APP)
    port = free_port()
    command = [*web_command(LOOPBACK, port)[:-1], "streaming:application"]
    known = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    null = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=tmp_path, env=known, stdout=null, stderr=null) as process:
        until(lambda: not is_free(port), 30)
        yield Server(port, process.pid)
        process.terminate()


def taken_in(connection: socket.socket) -> tuple[int, bytes]:
    """The number of bytes received, and the last ones."""
    size, last = 0, b""
    while piece := connection.recv(1 << 20):
        size, last = size + len(piece), (last + piece)[-7:]
    return size, last


def test_a_reader_gets_all_of_it_and_memory_does_not_grow(server):
    with server.asked("/") as connection:
        taken_in(connection)
    before = server.memory()
    with server.asked("/") as connection:
        size, last = taken_in(connection)

    assert size > WHOLE and last == b"\r\n0\r\n\r\n"
    assert server.memory() - before < WHOLE // 4
    assert server.known() == {"made": 2 * PIECES, "open": 0}


def test_stalled_readers_hold_no_thread_and_little_memory_and_are_disconnected(server):
    before = server.memory()
    readers = [server.asked("/") for _ in range(2)]
    until(lambda: server.known()["open"] == 2)

    known = server.known()
    assert server.memory() - before < WHOLE // 2
    until(lambda: server.known()["open"] == 0, 20)
    assert known["made"] <= server.known()["made"] < PIECES
    for reader in readers:
        assert taken_in(reader)[1] != b"\r\n0\r\n\r\n"
        reader.close()


def test_a_reader_that_disconnects_frees_everything(server):
    with server.asked("/") as connection:
        connection.recv(100_000)

    until(lambda: server.known()["open"] == 0, 1.5)
    assert server.known()["made"] < PIECES


def test_a_response_that_fails_halfway_does_not_look_complete(server):
    with server.asked("/bad") as connection:
        size, last = taken_in(connection)

    assert 0 < size < WHOLE and last != b"\r\n0\r\n\r\n"
    until(lambda: server.known()["open"] == 0)
