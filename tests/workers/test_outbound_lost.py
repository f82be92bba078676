"""Outbound calls: connections that are lost before the end of the headers, TLS, and bytes between two calls."""

import asyncio
import ssl
import threading

import pytest

from tests.raw import endless, ok, raw_serving, wire
from tests.workers.calls import failed
from tests.workers.test_outbound import certificate  # noqa: F401  fixture of `tls`
from tests.workers.test_outbound_answers import BODY, BROKEN, CHUNKED, LENGTH, OK, WHOLE, answer_of, answers_of
from workers.outbound import Http, OutcomeUnknown

pytestmark = pytest.mark.slow


# --- no answer


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n",
        b"\r\n" * 30_000,
        b"\n" * 60_000,
        b"a" * 65_000,
        b"a: b\r\n" * 500,
    ],
)
def test_endless_bytes_without_a_status_end_within_the_timeout(start):
    with raw_serving(endless(start, start)) as server:
        kept = failed(OutcomeUnknown, server.url, within=0.5)

    assert kept.duration_ms < 3000


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"H",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK",
        OK,
        OK + b"Content-Len",
        OK + LENGTH,
        OK + LENGTH + b"\r",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
    ],
)
def test_a_connection_lost_before_the_end_of_the_headers_is_an_unknown_outcome(start, end):
    with raw_serving(wire(start, 0.01, end=end)) as server:
        kept = failed(OutcomeUnknown, server.url, "POST", body=b"{}")

    assert kept.http_status is None and kept.error


@pytest.mark.parametrize("start", [b"HTTP/1.1 20", OK, OK + LENGTH])
def test_silence_before_the_end_of_the_headers_is_an_unknown_outcome(start):
    with raw_serving(wire(start, end="silence")) as server:
        failed(OutcomeUnknown, server.url, "POST", within=0.2)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 0200 OK", b"HTTP/1.1 abc", b"SSH-2.0-x", b"220 ready"]
)
def test_a_line_without_a_status_is_an_unknown_outcome(line):
    with raw_serving(wire(line + b"\r\n" + LENGTH + BODY)) as server:
        failed(OutcomeUnknown, server.url, "POST")


# --- TLS


@pytest.fixture
def tls(request, monkeypatch):
    """A server's TLS context that calls accept."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    return request.getfixturevalue("certificate")


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 20", OK, OK + LENGTH])
def test_a_tls_connection_lost_before_the_end_of_the_headers_is_an_unknown_outcome(tls, start, end):
    with pytest.raises(OutcomeUnknown):
        answer_of(wire(start, 0.01, end=end), method="POST", tls=tls)


@pytest.mark.parametrize("end", ["close", "reset", "silence"])
@pytest.mark.parametrize("raw", [BROKEN["half a body"], CHUNKED + b"5\r\n{}", CHUNKED + b"zz\r\n"])
def test_the_status_is_kept_if_the_body_breaks_off_in_tls(tls, raw, end):
    answer = answer_of(wire(raw, 0.01, end=end), tls=tls)

    assert (answer.status, answer.whole) == (200, False)


# --- kept connections


@pytest.mark.parametrize(
    "late",
    [
        ok(b"another's"),
        ok(b"another's", Connection="close"),
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nanot",
        b"HTTP/1.1 200 O",
        b"garbage",
        b"\r\n",
    ],
)
def test_bytes_between_two_calls_are_not_the_next_answer(late):
    """A status read from them would be that of another transaction."""
    sent, seen = threading.Event(), []

    async def go():
        async with Http(["127.0.0.1"]) as http:
            for _ in range(3):
                seen.append((await http.call("GET", server.url, headers={}, within=5)).body)
                await asyncio.to_thread(sent.wait, 5)
                await asyncio.sleep(0.01)

    class Sent(threading.Event):
        def wait(self, timeout=None):
            sent.set()
            return True

    first = wire(ok(b"1"), 0.01, late, Sent(), end="keep")
    with raw_serving(first, wire(ok(b"2"), end="keep"), wire(ok(b"3"), end="keep")) as server:
        asyncio.run(go())

    assert seen == [b"1", b"2", b"3"]


@pytest.mark.parametrize("raw", [BROKEN["an invalid chunk size"], BROKEN["no body"], WHOLE["bytes after the end"]])
def test_a_connection_with_a_broken_answer_is_not_used_again(raw):
    answers = answers_of(2, wire(raw, end="keep"), wire(ok(b"2"), end="keep"))

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].body == b"2"
