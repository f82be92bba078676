"""Malicious connections to the web server."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from devstack.stack import Stack
from tests.e2e.test_main_job import post

pytestmark = pytest.mark.slow

STALLED = 30
"""Number of stalled connections; nearly twice the number of threads."""


def connected(stack: Stack) -> socket.socket:
    address = urlsplit(stack.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=30)


def head(stack: Stack, method: str, path: str, **headers: str) -> bytes:
    named = {"Host": "127.0.0.1", "Authorization": f"Bearer {stack.api_key}", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_to(stack: Stack, request: bytes) -> bytes:
    """Return the whole response until the connection closes; b"" if there is none."""
    with connected(stack) as connection:
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


@contextmanager
def stalled(stack: Stack, path: str, **headers: str) -> Iterator[list[socket.socket]]:
    """Open many connections that send half a body and then stall."""
    with ExitStack() as opened:
        connections = [opened.enter_context(connected(stack)) for _ in range(STALLED)]
        for connection in connections:
            connection.sendall(head(stack, "POST", path, Content_Type="application/json", **headers) + b"1\r\n{\r\n")
        yield connections


@pytest.mark.parametrize("path", ["/v1/transactions", "/webhooks/sandbox", "/admin/login/"])
@pytest.mark.parametrize("length", [{"Content_Length": "1000"}, {"Transfer_Encoding": "chunked"}])
def test_stalled_bodies_do_not_delay_other_requests(stack: Stack, path: str, length: dict[str, str]):
    with stalled(stack, path, **length) as connections:
        assert post(stack, f"beside-{len(path)}-{len(length)}-{next(iter(length))}", "sync").status_code == 202
        assert stack.request("GET", "/healthz").status_code == 200

        # None of the stalled connections has a response yet, so all of them were open at that time.
        for connection in connections:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)


def test_a_stalled_body_is_answered_408_and_its_connection_closed(stack: Stack):
    unfinished = head(stack, "POST", "/v1/transactions", Content_Type="application/json", Content_Length="1000") + b"{"

    answer = answer_to(stack, unfinished)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408


def test_a_request_without_a_key_is_refused_before_its_body_arrives(stack: Stack):
    request = head(stack, "POST", "/v1/transactions", Content_Length="1000").replace(b"Authorization", b"X-Nothing")

    assert answer_to(stack, request).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n: y\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_an_invalid_or_oversized_request_gets_a_4xx_or_no_response(stack: Stack, request_: bytes):
    status = answer_to(stack, request_)[:12]

    assert status[:10] == b"HTTP/1.1 4" or status == b"", status


@pytest.mark.parametrize("path", ["/healthz", "/v1/nothing", "/admin/login/", "/static/admin/css/base.css"])
def test_no_response_reveals_software_versions(stack: Stack, path: str):
    answer = stack.request("GET", path)

    assert answer.headers["Server"] == "granian"
    assert not {"X-Powered-By", "Via"} & set(answer.headers)
