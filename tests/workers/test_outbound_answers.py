"""Outbound calls: the status line decides, regardless of the bytes that follow it and of how they arrive."""

import asyncio
import gzip
import tracemalloc
import zlib
from functools import partial

import pytest

from tests.raw import endless, ok, raw_serving, wire
from workers import outbound, outbound_connections
from workers.outbound import BodyLimit, Http

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 2\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"\r\n{}"
BRIEF = BodyLimit(1024 * 1024, 0.1)
"""A limit that ends unfinished bodies soon."""


def answer_of(*answers, limit=BRIEF, **how):
    """Return the answer to one call."""
    return answers_of(1, *answers, limit=limit, **how)[0]


def answers_of(number, *answers, limit=BRIEF, method="GET", once=False, within=5.0, tls=None):
    """Return the answers to calls one after another."""

    async def go():
        try:
            async with Http(["127.0.0.1"]) as http:
                call = partial(http.call, method, server.url, headers={}, within=within, limit=limit, once=once)
                return [await call() for _ in range(number)]
        finally:
            await asyncio.to_thread(server.stop)
            await connections_closed()

    with raw_serving(*answers, tls=tls) as server:
        return asyncio.run(go())


async def connections_closed():
    """Wait for the end of the connections: those of TLS are closed by both sides."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while len(selector.get_map()) > 1:  # noqa: ASYNC110  no event exists; the loop's own socket stays
            await asyncio.sleep(0.001)


def header(line):
    return OK + line + b"\r\n" + LENGTH + BODY


WHOLE = {
    "plain": OK + LENGTH + BODY,
    "without a reason": b"HTTP/1.1 200\r\n" + LENGTH + BODY,
    "with an empty reason": b"HTTP/1.1 200 \r\n" + LENGTH + BODY,
    "bytes in the reason": b"HTTP/1.1 200 \xc3\xa9\xff\r\n" + LENGTH + BODY,
    "until the end": b"HTTP/1.0 200 OK\r\n\r\n{}",
    "version 2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH + BODY,
    "lines without CR": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "an empty line before": b"\r\n" + OK + LENGTH + BODY,
    "empty lines before": b"\r\n\r\n\r\n" + OK + LENGTH + BODY,
    "latin-1 in a header": header(b"X-Name: Jos\xe9"),
    "UTF-8 in a header": header("X-Name: José".encode()),
    "control character in a header": header(b"X-Name: a\x01b"),
    "a folded header": header(b"X-Name: a\r\n b"),
    "two content types": header(b"Content-Type: a/b\r\nContent-Type: c/d"),
    "an upgrade": header(b"Upgrade: h2c\r\nConnection: Upgrade"),
    "9 KB in a header": header(b"X: " + b"a" * 9_000),
    "60 KB in a header": header(b"X: " + b"a" * 60_000),
    "64 KiB in a header": header(b"X: " + b"a" * 65_536),
    "300 headers": header(b"".join(b"X-%d: a\r\n" % number for number in range(300)) + b"Y: b"),
    "1000 cookies": header(b"\r\n".join(b"Set-Cookie: a=%d" % number for number in range(990))),
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + BODY,
    "103 before": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + LENGTH + BODY,
    "several before": b"HTTP/1.1 102 Processing\r\n\r\n" * 5 + OK + LENGTH + BODY,
    "chunks": CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "chunks with extensions": CHUNKED + b"2;a=b\r\n{}\r\n0\r\n\r\n",
    "chunks with trailers": CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "bytes after the end": OK + LENGTH + BODY + b"garbage",
    "a second answer after the end": OK + LENGTH + BODY + ok(b"[]", 500),
}
BROKEN = {
    "an invalid chunk size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a huge chunk size": CHUNKED + b"ffffffffffffffffff\r\n{}",
    "an empty chunk size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk without CRLF": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "half a chunk": CHUNKED + b"5\r\n{}",
    "an invalid trailer": CHUNKED + b"2\r\n{}\r\n0\r\ngarbage\r\n\r\n",
    "an invalid chunk after 103": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + CHUNKED + b"zz\r\n",
    "half a body": OK + b"Content-Length: 50\r\n\r\n{}",
    "no body": OK + b"Content-Length: 50\r\n\r\n",
    "a mislabelled gzip": header(b"Content-Encoding: gzip"),
    "a mislabelled deflate": header(b"Content-Encoding: deflate"),
    "br": header(b"Content-Encoding: br"),
    "zstd": header(b"Content-Encoding: zstd"),
    "an unknown encoding": header(b"Content-Encoding: \xff\x80, aes128gcm"),
    "two equal lengths": OK + LENGTH + LENGTH + BODY,
    "two lengths": OK + LENGTH + b"Content-Length: 3\r\n" + BODY,
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n" + BODY,
    "a negative length": OK + b"Content-Length: -1\r\n" + BODY,
    "a length with a sign": OK + b"Content-Length: +2\r\n" + BODY,
    "a length of 40 digits": OK + b"Content-Length: " + b"9" * 40 + b"\r\n" + BODY,
    "a length in words": OK + b"Content-Length: two\r\n" + BODY,
    "an empty length": OK + b"Content-Length: \r\n" + BODY,
    "length and chunks": OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an encoding of nothing": header(b"Transfer-Encoding: identity"),
    "a space in a header's name": header(b"X Name: a"),
    "a space before the colon": header(b"X-Name : a"),
    "an empty header's name": header(b": a"),
    "no colon": header(b"garbage"),
    "NUL in a header": header(b"X-Name: a\x00b"),
    "bytes in a header's name": header(b"X-\xff: a"),
    "70 KB in a header": header(b"X: " + b"a" * 70_000),
    "2000 headers": header(b"".join(b"X-%d: a\r\n" % number for number in range(2000)) + b"Y: b"),
}


@pytest.fixture(params=["in one piece", "byte by byte"])
def arriving(request, monkeypatch):
    """Let an answer arrive in one piece, then byte by byte."""

    class Slowly(outbound_connections.AnswerReader):
        def data_received(self, data):
            for place in range(len(data)):
                if self.transport is not None and not self.transport.is_closing():
                    super().data_received(data[place : place + 1])

    if request.param == "byte by byte":
        monkeypatch.setattr(outbound_connections, "AnswerReader", Slowly)


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
def test_an_unusual_answer_is_read(raw, arriving):
    answer = answer_of(wire(raw))

    assert (answer.status, answer.body, answer.whole) == (200, b"{}", True)


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_the_status_of_an_answer_that_breaks_off_is_kept(raw, arriving):
    answer = answer_of(wire(raw))

    assert (answer.status, answer.whole) == (200, False)
    assert answer.body in (b"", b"{", b"{}")


@pytest.mark.parametrize("status", [201, 202, 404, 409, 503, 599, 999])
@pytest.mark.parametrize("body", [b"zz\r\n", b"2\r\n{}XX", b"2\r\n{"])
def test_the_status_of_a_broken_answer_is_any(status, body):
    raw = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status

    assert answer_of(wire(raw + body)).status == status


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("rest", [b"Content-Length: 5\r\n\r\nhello", b"\r\nhello", b"\r\nHTTP/1.1 500 No\r\n\r\n"])
def test_a_body_that_must_not_be_is_ignored(status, rest, arriving):
    answer = answer_of(wire(b"HTTP/1.1 %d X\r\n" % status + rest))

    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("end", ["reset", "silence"])
@pytest.mark.parametrize(
    "start",
    [OK + b"Content-Length: 50\r\n\r\n{}", CHUNKED + b"5\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"],
)
def test_the_status_is_kept_if_the_body_is_never_finished(start, end):
    answer = answer_of(wire(start, 0.02, end=end))

    assert (answer.status, answer.whole) == (200, False)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
        (OK + b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b"),
    ],
)
def test_the_status_is_kept_if_the_body_drips(start, piece):
    answer = answer_of(endless(start, piece, 0.01))

    assert (answer.status, answer.whole) == (200, False)


def test_a_body_that_drips_takes_no_longer_than_the_whole_call():
    answer = answer_of(endless(OK + b"\r\n", b"x", 0.01), limit=outbound.FULL, within=0.3)

    assert (answer.status, answer.whole) == (200, False)
    assert answer.call.duration_ms < 3000


# --- decoding

TEXT = b'{"status": "completed"}' * 50


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT))),
        ("identity", TEXT),
        ("", TEXT),
        (" , gzip", gzip.compress(TEXT)),
    ],
)
def test_a_compressed_body_is_decoded(encoding, body):
    answer = answer_of(wire(ok(body, Content_Encoding=encoding)))

    assert (answer.body, answer.whole) == (TEXT, True)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)[:-9]),
        ("gzip", gzip.compress(TEXT)[:20]),
        ("deflate", zlib.compress(TEXT)[:-8]),
        ("gzip, deflate", zlib.compress(gzip.compress(TEXT)[:-9])),
    ],
)
def test_a_compressed_body_that_breaks_off_within_is_not_whole(encoding, body):
    answer = answer_of(wire(ok(body, Content_Encoding=encoding)))

    assert (answer.status, answer.whole) == (200, False)


# --- limits

MB = 1024 * 1024


@pytest.mark.parametrize("size", [20_000, 900_000, MB - 1])
def test_a_body_up_to_the_limit_is_whole(size):
    answer = answer_of(wire(ok(b"x" * size)), limit=outbound.FULL)

    assert (len(answer.body), answer.whole) == (size, True)
    assert len(answer.call.excerpt) == outbound.EXCERPT


@pytest.mark.parametrize("size", [MB + 1, 3 * MB])
def test_of_a_longer_body_the_start_is_read(size):
    answer = answer_of(wire(ok(b"x" * size)), limit=outbound.FULL)

    assert (answer.status, len(answer.body), answer.whole) == (200, MB, False)


def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MB)) for _ in range(100)) + packer.flush()


@pytest.mark.parametrize(
    "wired",
    [
        wire(ok(b"", X="a" * 10 * MB)),
        endless(OK, b"X: " + b"a" * 65_000 + b"\r\n"),
        endless(OK + b"X: ", b"a" * 65_000),
        endless(b"HTTP/1.1 200 ", b"a" * 65_000),
        endless(OK + b"\r\n", b"x" * 65_000),
        endless(CHUNKED, b"fff\r\n" + b"x" * 4095 + b"\r\n"),
        endless(CHUNKED, b"1\r\nx\r\n" * 5000),
        wire(ok(bomb(), Content_Encoding="gzip")),
        wire(ok(gzip.compress(bomb()), Content_Encoding="gzip, gzip")),
        endless(OK + b"Content-Length: 2\r\n\r\n{}", ok(b"[]") * 500),
    ],
    ids=[
        "10 MB head", "endless headers", "endless header", "endless reason", "endless body", "endless chunks",
        "endless small chunks", "bomb", "bomb in a bomb", "endless answers",
    ],
)  # fmt: skip
def test_an_endless_answer_costs_little(wired):
    limit = BodyLimit(MB, 0.5)

    async def go():
        async with Http(["127.0.0.1"]) as http:
            tracemalloc.start()
            try:
                answer = await http.call("GET", server.url, headers={}, within=5, limit=limit)
                return answer.status, len(answer.body), tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    with raw_serving(wired) as server:
        status, size, peak = asyncio.run(go())

    assert status == 200
    assert size <= MB
    assert peak < 24 * MB
