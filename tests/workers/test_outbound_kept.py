"""Outbound calls on kept connections: reuse, repetition, and calls that may happen once only."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from workers import outbound
from workers.outbound import Http, OutcomeUnknown

pytestmark = pytest.mark.slow


@contextmanager
def ending(*answers):
    """Serve connections that end without an answer to their second request; yield the address, and the methods of the
    requests by connection: an empty one if the client has closed it.

    Each connection answers its first request with the next of `answers`; None ends it without an answer.
    """
    taken: list[list[str]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:

        def serve(connection, answer, methods):
            with connection:
                methods.append(connection.recv(4096).split(b" ")[0].decode())
                if answer is not None:
                    connection.sendall(b"HTTP/1.1 %d OK\r\nContent-Length: 2\r\n\r\n{}" % answer)
                    methods.append(connection.recv(4096).split(b" ")[0].decode())

        def accept():
            for answer in answers:
                taken.append([])
                pool.submit(serve, listener.accept()[0], answer, taken[-1])

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        accepting.join()


def after_a_get(url, method, **how):
    """Make a GET, then this call."""

    async def twice():
        async with Http(["127.0.0.1"]) as http:
            await http.call("GET", url, headers={}, within=5)
            return await http.call(method, url, headers={}, within=5, **how)

    return asyncio.run(twice())


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_call_on_a_kept_connection_that_ends_is_repeated_on_a_new_one(method):
    with ending(200, 201) as (url, taken):
        answer = after_a_get(url, method)

    assert (answer.status, answer.call.error) == (201, outbound.REPEATED)
    assert taken == [["GET", method], [method, ""]]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_repeated_call_that_gets_no_answer_either_is_an_unknown_outcome(method):
    with ending(200, None) as (url, taken), pytest.raises(OutcomeUnknown):
        after_a_get(url, method)

    assert taken == [["GET", method], [method]]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_call_that_may_happen_once_uses_no_kept_connection(method):
    with ending(200, 201) as (url, taken):
        assert after_a_get(url, method, once=True).call.error == ""

    assert taken == [["GET", ""], [method, ""]]


def test_connections_are_used_again():
    """A pool: a thousand calls a second must not be a thousand handshakes."""
    peers = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            listener.settimeout(0.5)
            while True:
                try:
                    connection, peer = listener.accept()
                except TimeoutError:
                    return
                peers.add(peer)
                with connection:
                    while connection.recv(4096):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()

        async def thrice():
            async with Http(["127.0.0.1"]) as http:
                for _ in range(3):
                    await http.call("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", headers={}, within=5)

        asyncio.run(thrice())
        thread.join()
    assert len(peers) == 1
