"""What the web server makes of connections that no honest client opens."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from devstack.stack import Stack
from tests.e2e.test_main_job import post

STALLED = 30
"""Connections; nearly twice as many as there are threads."""


def connected(stack: Stack) -> socket.socket:
    address = urlsplit(stack.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=30)


def head(stack: Stack, method: str, path: str, **headers: str) -> bytes:
    named = {"Host": "127.0.0.1", "Authorization": f"Bearer {stack.api_key}", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_to(stack: Stack, request: bytes) -> bytes:
    """Everything that is answered until the connection is closed; b"" if it is without a word."""
    with connected(stack) as connection:
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


@contextmanager
def stalled(stack: Stack, path: str, **headers: str) -> Iterator[list[socket.socket]]:
    """Many connections that have sent half a body and send no more."""
    with ExitStack() as opened:
        connections = [opened.enter_context(connected(stack)) for _ in range(STALLED)]
        for connection in connections:
            connection.sendall(head(stack, "POST", path, Content_Type="application/json", **headers) + b"1\r\n{\r\n")
        yield connections


@pytest.mark.parametrize("path", ["/v1/transactions", "/webhooks/sandbox", "/admin/login/"])
@pytest.mark.parametrize("length", [{"Content_Length": "1000"}, {"Transfer_Encoding": "chunked"}])
def test_others_do_not_wait_for_bodies_that_never_end(stack: Stack, path: str, length: dict[str, str]):
    with stalled(stack, path, **length) as connections:
        assert post(stack, f"beside-{len(path)}-{len(length)}-{next(iter(length))}", "sync").status_code == 202
        assert stack.request("GET", "/healthz").status_code == 200

        # None of them was answered yet: they were all waited for meanwhile.
        for connection in connections:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)


def test_a_body_that_never_ends_is_given_up_and_its_connection_closed(stack: Stack):
    unfinished = head(stack, "POST", "/v1/transactions", Content_Type="application/json", Content_Length="1000") + b"{"

    answer = answer_to(stack, unfinished)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408


def test_a_strangers_body_is_not_waited_for(stack: Stack):
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
def test_what_is_no_request_or_too_large_a_one_is_the_callers_mistake(stack: Stack, request_: bytes):
    status = answer_to(stack, request_)[:12]

    assert status[:10] == b"HTTP/1.1 4" or status == b"", status


@pytest.mark.parametrize("path", ["/healthz", "/v1/nothing", "/admin/login/", "/static/admin/css/base.css"])
def test_no_answer_says_which_version_of_what_gives_it(stack: Stack, path: str):
    answer = stack.request("GET", path)

    assert answer.headers["Server"] == "granian"
    assert not {"X-Powered-By", "Via"} & set(answer.headers)
