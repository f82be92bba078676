"""Behaviour of the web server that the service relies on."""

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.serve import web_command
from tests.servers import until
from txnproject import webserver
from txnproject.environment import KEEP_ALIVE, Environment

pytestmark = pytest.mark.slow

APP = """
import json

from django.http import HttpResponse

from txnproject import asgi

class Django:
    def get_response(self, request):
        if request.path == "/v1/refused":
            return HttpResponse(status=401)
        return HttpResponse(json.dumps({name: value for name, value in request.META.items() if isinstance(value, str)}))

asgi.django = Django()
application = asgi.application
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts our web server with these variables and returns its port. An application echoes requests, not Django."""
    (tmp_path / "telling.py").write_text(APP)
    with ExitStack() as stack:

        def start(**variables: str) -> int:
            found = free_port()
            command = [*web_command(LOOPBACK, found)[:-1], "telling:application"]
            known = os.environ | {"PYTHONPATH": str(CHECKOUT)} | variables
            null = subprocess.DEVNULL
            server = stack.enter_context(subprocess.Popen(command, cwd=tmp_path, env=known, stdout=null, stderr=null))
            stack.callback(server.terminate)
            until(lambda: not is_free(found), 30)
            return found

        yield start


@pytest.fixture
def port(serving: Callable[..., int]) -> int:
    return serving()


def told(port: int, *headers: str) -> dict[str, Any]:
    """The request that the application gets for these headers."""
    with socket.create_connection((LOOPBACK, port), 5) as connection:
        request = "\r\n".join(["GET / HTTP/1.1", "Host: relay", "Connection: close", *headers, "", ""])
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_the_entry_point_does_not_need_django_settings_module():
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    load = [sys.executable, "-c", "import txnproject.asgi"]

    run = subprocess.run(load, cwd=CHECKOUT, env=known, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


def test_the_peers_address_does_not_depend_on_headers(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Remote-Addr: 192.0.2.1")

    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_it_drops_headers_that_imitate_the_proxys(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: 192.0.2.9", "X_Forwarded_Proto: https")

    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert "HTTP_X_FORWARDED_PROTO" not in environ


@pytest.mark.parametrize("opening", ["", "GET / HTTP/1.1\r\nHost: relay\r\n\r\n"])
def test_it_closes_a_connection_that_was_idle_for_keep_alive(serving, opening):
    with socket.create_connection((LOOPBACK, serving(KEEP_ALIVE="1")), 30) as connection:
        connection.sendall(opening.encode())

        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200" if opening else b"")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 75), ("620", 620), (' "1.5"\r', 1.5), ("0", 75), ("x", 75), ("4e9", 75)]
)
def test_granian_gets_keep_alive_as_its_only_timeout(monkeypatch, text, seconds):
    given: dict[str, Any] = {}
    monkeypatch.setattr(webserver, "Granian", lambda *_, **options: given.update(options) or mock.Mock())
    monkeypatch.setattr(sys, "argv", ["webserver"])
    monkeypatch.setenv("KEEP_ALIVE", text)

    assert webserver.main() == 0
    assert given["http1_settings"].header_read_timeout == seconds * 1000
    assert given["http1_settings"].keep_alive


def test_an_idle_connection_outlives_the_60_seconds_of_load_balancers():
    assert KEEP_ALIVE > 60


@pytest.mark.parametrize("variables", [{"PORT": "http"}, {"PORT": "80 80"}, {"PORT": "8000.5"}])
def test_an_invalid_port_is_said_and_not_a_traceback(variables):
    command = [sys.executable, "-m", "txnproject.webserver"]

    run = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=30
    )

    assert run.returncode != 0
    assert "PORT" in run.stderr.upper() and "Traceback" not in run.stderr


def test_it_joins_the_values_of_a_repeated_header_in_order(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Webhook-Signature: a", "X-Forwarded-For: 192.0.2.2, 192.0.2.3")

    assert environ["HTTP_X_FORWARDED_FOR"].replace(" ", "") == "192.0.2.1,192.0.2.2,192.0.2.3"


# --- connections near their limit

IDLE = 960
"""More connections than the server accepts."""
OPENINGS = {
    "no request": b"",
    "half of the headers": b"GET / HTTP/1.1\r\nHost: rel",
    "a request": b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
    "a refused request": b"GET /v1/refused HTTP/1.1\r\nHost: relay\r\n\r\n",
}


@pytest.fixture
def crowd(port: int) -> Iterator[Callable[[bytes], None]]:
    """Opens IDLE connections that send these bytes and stay open. A response to the first 600 is awaited."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * IDLE:
        pytest.skip(f"needs {4 * IDLE} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * IDLE), hard))
    with ExitStack() as stack:

        def fill(opening: bytes) -> None:
            for number in range(IDLE):
                one = stack.enter_context(socket.create_connection((LOOPBACK, port), 30))
                one.sendall(opening)
                if opening.endswith(b"\r\n\r\n") and number < 600:
                    one.recv(65536)

        yield fill
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def exchange(connection: socket.socket, path: str = "/", headers: str = "") -> bytes:
    """Send a request on an open connection and return what arrives, b"" if it is closed."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: relay\r\n{headers}\r\n".encode())
    return connection.recv(65536)


@pytest.mark.parametrize("opening", OPENINGS)
def test_new_connections_are_served_while_more_than_the_limit_are_idle(port, crowd, opening):
    crowd(OPENINGS[opening])

    for path in ("/healthz", "/v1/transactions", "/"):
        with socket.create_connection((LOOPBACK, port), webserver.keep_alive(Environment({})) / 3) as one:
            assert exchange(one, path).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/v1/transactions", "/v1/endpoint", "/webhooks/third"])
def test_connections_of_clients_and_providers_are_closed_last(port, crowd, path):
    with socket.create_connection((LOOPBACK, port), 30) as known, socket.create_connection((LOOPBACK, port), 30) as one:
        assert exchange(known, path) and exchange(one)
        crowd(b"")
        assert one.recv(1) == b"", "it is the stranger that was idle for longest"

        answer = exchange(known, path)
    assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" not in answer.lower()


def test_a_running_request_is_not_cut_off(port, crowd):
    with socket.create_connection((LOOPBACK, port), 30) as slow, socket.create_connection((LOOPBACK, port), 30) as one:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 2\r\n\r\n{")
        crowd(b"")
        assert one.recv(1) == b"", "idle connections are being closed"

        slow.sendall(b"}")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_response_to_a_stranger_closes_its_connection_in_a_crowd(port, crowd):
    crowd(b"")
    with socket.create_connection((LOOPBACK, port), 30) as one:
        answer = exchange(one)

    assert b"connection: close" in answer.lower()
