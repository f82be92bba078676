"""Outbound calls: what is known after each way they can end."""

import asyncio
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers import Answer, serving, silent
from tests.workers.calls import call, failed
from workers import outbound
from workers.outbound import CallFailed, Http, NotSent, OutcomeUnknown

pytestmark = pytest.mark.slow


@pytest.fixture
def far():
    with serving() as server:
        server.on("GET", Answer(200, {"a": 1}))
        server.on("POST", Answer(201))
        yield server


# --- an answer


def test_any_answer_is_an_answer(far):
    for status in (200, 204, 301, 404, 429, 500, 504):
        far.on("GET", Answer(status, {"a": 1}, headers={"Location": "/x"}))
        assert call(far.url).status == status


def test_it_sends_what_it_is_given(far):
    call(far.url + "/a%20b?c=%2F", "POST", body=b"\x00\xff", headers={"X-One": "1"})

    [asked] = far.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/a%20b?c=%2F", b"\x00\xff")
    assert asked.headers["x-one"] == "1"


def test_it_says_what_came_back(far):
    far.on("GET", Answer(200, {"a": 1}, headers={"X-Two": "2"}))
    answer = call(far.url)

    assert answer.body == b'{"a": 1}'
    assert answer.headers["x-two"] == "2"


@pytest.mark.parametrize("secret", ["hush", "whsec_abc", "sk_live_1"])
def test_the_repr_of_an_answer_holds_neither_headers_nor_body(far, secret):
    far.on("GET", Answer(200, {"token": secret}, headers={"X-Key": secret}))

    assert secret not in repr(call(far.url))


def test_a_call_is_recorded(far):
    before = datetime.now(UTC)
    kept = call(far.url + "/x").call

    assert (kept.method, kept.url, kept.http_status, kept.error) == ("GET", far.url + "/x", 200, "")
    assert before <= kept.started_at <= datetime.now(UTC)
    assert 0 <= kept.duration_ms < 5000
    assert kept.excerpt == '{"a": 1}'


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:1/hook?token=hunter2",
        "http://hunter2@127.0.0.1:1/#hunter2",
        "https://127.0.0.2:1/?hunter2",
        "ftp://user:hunter2@127.0.0.1/?hunter2",
    ],
)
def test_neither_the_record_nor_the_error_of_a_failed_call_has_a_secret_of_the_url(url):
    with pytest.raises(CallFailed) as caught:
        call(url)

    assert "hunter2" not in f"{caught.value} {caught.value.call}"


def test_the_query_is_not_recorded(far):
    assert call(far.url + "/x?token=hush").call.url == far.url + "/x"
    assert "hush" not in repr(failed(NotSent, "http://127.0.0.1:1/x?token=hush"))


@pytest.mark.parametrize("size", [20_000, 2**20 - 1, 2**20, 2**20 + 1, 2**21])
def test_it_reads_1_mib_of_an_answer(far, size):
    far.on("GET", Answer(200, body=b"x" * size))

    assert len(call(far.url).body) == min(size, 2**20)


def test_an_answer_without_end_costs_no_more(far):
    """The server promises a gigabyte and stops after 2 MiB; the call does not wait for the rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, ended = listener.getsockname()[1], threading.Event()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 2**21)
                ended.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        assert len(call(f"http://127.0.0.1:{port}").body) == 2**20
        ended.set()
        thread.join()


def test_an_answer_that_unpacks_to_no_end_costs_no_more(far):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    far.on("GET", Answer(200, body=packed, headers={"Content-Encoding": "gzip"}))

    tracemalloc.start()
    try:
        assert len(call(far.url).body) == 2**20
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(far, status):
    far.on("GET", Answer(status, headers={"Location": far.url + "/secret"}))

    assert call(far.url).status == status
    assert len(far.asked) == 1


def test_cookies_are_not_kept(far):
    far.on("GET", Answer(200, headers={"Set-Cookie": "a=b"}))

    async def twice():
        async with Http(["127.0.0.1"]) as http:
            for _ in range(2):
                await http.call("GET", far.url, headers={}, within=5)

    asyncio.run(twice())
    assert all("cookie" not in asked.headers for asked in far.asked)


# --- no answer


def test_a_refused_connection_is_not_sent():
    kept = failed(NotSent, "http://127.0.0.1:1/")

    assert kept.http_status is None
    assert "127.0.0.1" in kept.error


def test_a_name_that_does_not_resolve_is_not_sent():
    failed(NotSent, "https://nowhere.invalid/")


@pytest.mark.parametrize("within", [0.4, 30.0])
def test_a_connection_that_is_not_taken_up_in_time_is_not_sent(monkeypatch, within):
    monkeypatch.setattr(outbound, "CONNECT_TIMEOUT", 0.5)
    started = time.monotonic()
    with silent() as port:
        failed(NotSent, f"http://127.0.0.1:{port}/", within=within)

    assert time.monotonic() - started < 3


def test_a_name_that_does_not_resolve_in_time_is_not_sent(monkeypatch):
    async def never(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", never)
    monkeypatch.setattr(outbound, "CONNECT_TIMEOUT", 0.2)

    failed(NotSent, "https://slow.example/", within=1.0)


def test_names_that_do_not_resolve_hold_up_no_call_to_others(far, monkeypatch):
    """A resolver that is slow for the hosts of some lanes is no reason for other lanes to wait."""
    released, resolve = threading.Event(), socket.getaddrinfo

    def slow(host, *args, **how):
        if host.endswith(".example"):
            released.wait(10)
        return resolve("127.0.0.1" if host.endswith(".example") else host, *args, **how)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def go():
        async with Http(["localhost"]) as http:
            dead = [
                asyncio.create_task(http.call("GET", f"https://n{number}.example", headers={}, within=20))
                for number in range(40)
            ]
            await asyncio.sleep(0.05)
            try:
                url = far.url.replace("127.0.0.1", "localhost")
                return (await http.call("GET", url, headers={}, within=2)).status
            finally:
                released.set()
                await asyncio.gather(*dead, return_exceptions=True)

    assert asyncio.run(go()) == 200


def test_a_server_that_speaks_no_tls_is_not_sent(far):
    failed(NotSent, far.url.replace("http:", "https:"))
    assert far.asked == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A server's TLS context, with a certificate for 127.0.0.1 that no client trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_call_to_an_untrusted_certificate_is_not_sent(certificate):
    with serving(certificate) as server:
        failed(NotSent, server.url)
    assert server.asked == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH"])
def test_a_connection_lost_after_sending_is_an_unknown_outcome(far, method):
    far.on(method, Answer(lost=True))

    assert failed(OutcomeUnknown, far.url, method, body=b"{}").error


def test_no_call_is_made_twice_behind_its_records_back(far):
    """What is recorded as one call is one call: a client's PUT, or a provider's look, too."""
    far.on("PUT", Answer(lost=True))
    failed(OutcomeUnknown, far.url, "PUT", body=b"{}")

    assert len(far.asked) == 1


def test_a_read_timeout_is_an_unknown_outcome(far):
    held = threading.Event()
    far.on("POST", Answer(201, held=held))
    started = time.monotonic()
    kept = failed(OutcomeUnknown, far.url, "POST", within=0.3)
    held.set()

    assert 0.3 <= time.monotonic() - started < 2
    assert kept.duration_ms >= 290


@pytest.mark.parametrize("size", [2, 1000, 100_000])
def test_a_body_that_breaks_off_is_an_answer_with_a_part_of_it(far, size):
    far.on("POST", Answer(201, body=b"x" * size, cut=True))

    answer = call(far.url, "POST")

    assert (answer.status, answer.body, answer.whole) == (201, b"x" * (size // 2), False)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\x00", b"HTTP/1.1 999999 X\r\n\r\n", b"HTTP/1.1 200 OK\r\nA"])
def test_an_answer_that_is_no_http_is_an_unknown_outcome(garbage):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(garbage)

        thread = threading.Thread(target=serve)
        thread.start()
        failed(OutcomeUnknown, f"http://127.0.0.1:{listener.getsockname()[1]}", "POST")
        thread.join()


@pytest.mark.parametrize("url", ["", "x", "/x", "http://", "https://", "https://exa mple.com"])
def test_what_is_no_address_is_not_sent(url):
    failed(NotSent, url)


# --- Retry-After


def retry_after(far, value):
    far.on("GET", Answer(429, headers={"Retry-After": value}))
    return call(far.url).retry_after()


@pytest.mark.parametrize(("value", "seconds"),
    [
        ("0", 0), ("7", 7), ("3600", 3600), ("1.5", 1.5), ("86400", 86400),
        ("86401", 86400), ("99999999999", 86400), ("9" * 400, 86400),
    ],
)  # fmt: skip
def test_a_number_is_seconds_up_to_a_day(far, value, seconds):
    assert retry_after(far, value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1,5", ".5", "1e9", "inf", "+3", "Wed, 99 Foo 2026 00:00:00 GMT"])
def test_what_is_neither_a_number_nor_a_date_is_none(far, value):
    assert retry_after(far, value) is None


def test_a_date_is_the_time_until_then(far):
    ahead = datetime.now(UTC) + timedelta(seconds=60)

    assert retry_after(far, format_datetime(ahead, usegmt=True)) == pytest.approx(60, abs=2)


@pytest.mark.parametrize("days", [2, 400, 100_000])
def test_a_date_after_more_than_a_day_is_a_day(far, days):
    assert retry_after(far, format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)) == 86400


def test_a_date_in_the_past_is_now(far):
    assert retry_after(far, "Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_without_the_header_nothing_is_asked(far):
    assert call(far.url).retry_after() is None
