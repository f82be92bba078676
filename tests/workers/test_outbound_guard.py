"""Outbound calls: where they never go, and what operators never see."""

import socket

import pytest

from tests.servers import Answer, serving
from tests.workers.calls import call, failed
from workers.outbound import Forbidden, NotSent, redact, refuse_private


@pytest.fixture
def far():
    with serving() as server:
        server.on("GET", Answer(200, {"a": 1}))
        server.on("POST", Answer(201))
        yield server


# --- where it never goes


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "ws", "wss", "gopher"])
def test_only_https_is_spoken_to_hosts_that_are_not_named(scheme):
    assert "not allowed" in failed(NotSent, f"{scheme}://example.com/", allowed=()).error


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.2",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",  # noqa: S104  nothing is bound
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "ip6-localhost",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020.0.1",
    ],
)
def test_private_addresses_are_not_called_however_they_are_written(host, door):
    failed(NotSent, f"https://{host}:{door.getsockname()[1]}/", allowed=())

    assert not knocked(door)


@pytest.fixture
def door():
    """A port on which nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def knocked(listener):
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_name_that_leads_to_a_private_address_is_not_called(monkeypatch, door):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("127.0.0.1"))
    failed(NotSent, f"https://innocent.example:{door.getsockname()[1]}/", allowed=())

    assert not knocked(door)


def test_operators_see_why_a_name_was_not_called(monkeypatch):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("10.0.0.7"))

    assert "private" in failed(NotSent, "https://innocent.example/", allowed=()).error


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch, door):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("127.0.0.1", "93.184.216.34"))
    failed(NotSent, f"https://innocent.example:{door.getsockname()[1]}/", allowed=(), within=2.0)

    assert not knocked(door)


def _resolving_to(*addresses):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for one in addresses
        ]

    return resolve


def test_a_named_host_may_be_plain_and_private(far):
    assert call(far.url).status == 200


def test_naming_one_host_opens_no_other(far):
    failed(NotSent, far.url.replace("127.0.0.1", "localhost"), allowed=["127.0.0.1"])
    failed(NotSent, far.url, allowed=["localhost"])


def test_a_named_name_may_be_private(far):
    assert call(far.url.replace("127.0.0.1", "localhost"), allowed=["localhost"]).status == 200


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "a.b"])
def test_public_addresses_and_names_pass(host):
    refuse_private(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "fe80::1%eth0", "0x0a000001", "::ffff:192.168.0.1"])
def test_private_ones_do_not(host):
    with pytest.raises(Forbidden):
        refuse_private(host)


@pytest.mark.parametrize("host", ["::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1"])
def test_private_addresses_within_other_notations_of_ipv6_do_not(host):
    with pytest.raises(Forbidden):
        refuse_private(host)


def test_proxies_of_the_environment_are_not_used(far, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert call(far.url).status == 200


# --- what operators see


@pytest.mark.parametrize(
    "secret",
    [
        '{"token": "hush"}',
        '{"api_key":"hush"}',
        '{"apiKey" : "hush"}',
        '{"password": "hush", "a": 1}',
        '{"secret": "hush"}',
        "Authorization: Bearer hush",
        "bearer   hush",
        "whsec_hush",
        "sk_hush",
    ],
)
def test_what_looks_like_a_secret_is_redacted(secret):
    shown = redact(secret.encode())

    assert "hush" not in shown
    assert "***" in shown


def test_a_secret_with_escaped_quotes_or_spaces_is_redacted_whole():
    assert "hush" not in redact(b'{"password": "a hush"}')
    assert "hush" not in redact(rb'{"password": "a\"hush"}')


def test_the_rest_stays_readable():
    assert redact(b'{"status": "declined", "token": "x", "why": "no funds"}') == (
        '{"status": "declined", "token": "***", "why": "no funds"}'
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\x00b", b"\xed\xa0\x80", "ü".encode() * 5000, b"\xc3"])
def test_an_excerpt_can_always_be_stored(content):
    shown = redact(content)

    assert "\x00" not in shown
    assert len(shown) <= 500
    shown.encode()


def test_a_secret_at_the_excerpts_end_is_redacted():
    assert "hush" not in redact(b"x" * 490 + b' {"token": "hush"}')
