"""Outbound calls: where they never go, and what operators never see."""

import asyncio
import contextlib
import itertools
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from ipaddress import ip_address
from typing import cast

import pytest
from aiohttp import TCPConnector

from tests.servers import Answer, serving
from tests.workers.calls import call, failed
from workers.outbound import Http, NotSent, redact
from workers.outbound_guard import Forbidden, refuse_private


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
        "\u2460\u2461\u2466.0.0.1",
        "127.0.0.1.",
        "127.0.1",
        "0177.1",
        "0x7f.1",
        "00000177.0.0.1",
        "192.0.0.192",
        "198.18.0.1",
        "240.0.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "[0:0:0:0:0:0:0:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::1]",
        "[2001:0:7f00:1::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[100::1]",
        "[::1%25lo]",
    ],
)
def test_private_addresses_are_not_called_however_they_are_written(host, door):
    failed(NotSent, f"https://{host}:{door.port}/", allowed=())

    assert not door.knocked()


@pytest.mark.parametrize("address", ["192.0.0.192", "192.0.0.8", "192.88.99.1", "3fff::1", "168.63.129.16"])
def test_what_some_pythons_take_for_public_is_refused(address):
    with pytest.raises(Forbidden):
        refuse_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111"])
def test_public_addresses_are_not_refused(address):
    refuse_private(address)


class Door:
    """A port on both loopback addresses that must get no connection."""

    def __init__(self):
        self._listeners = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._listeners[0].getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without IPv6
            self._listeners.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for listener in self._listeners:
            listener.setblocking(False)

    def knocked(self):
        """Return True if there was a connection since the last call of this."""
        found = False
        for listener in self._listeners:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                found = True
        return found

    def close(self):
        for listener in self._listeners:
            listener.close()


@pytest.fixture
def door():
    with contextlib.closing(Door()) as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_door_would_tell(host, door):
    failed(NotSent, f"https://{host}:{door.port}/", allowed=[host], within=0.3)

    assert door.knocked()


def test_a_name_that_leads_to_a_private_address_is_not_called(monkeypatch, door):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("127.0.0.1"))
    failed(NotSent, f"https://innocent.example:{door.port}/", allowed=())

    assert not door.knocked()


def test_operators_see_why_a_name_was_not_called(monkeypatch):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("10.0.0.7"))

    assert "private" in failed(NotSent, "https://innocent.example/", allowed=()).error


@pytest.mark.parametrize("addresses", [("127.0.0.1", "93.184.216.34"), ("93.184.216.34", "::1")])
def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch, door, connected, addresses):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to(*addresses))
    failed(NotSent, f"https://innocent.example:{door.port}/", allowed=(), within=2.0)

    assert connected == []
    assert not door.knocked()


def _resolving_to(*addresses):
    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": one, "port": port, "family": _family(one), "proto": 0, "flags": 0}
            for one in addresses
        ]

    return resolve


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# --- names that change their answer


@pytest.fixture
def connected(monkeypatch):
    """The addresses that are connected to, for real unless they are public ones."""
    seen, really = [], BaseSelectorEventLoop.sock_connect

    async def connect(self, sock, address):
        seen.append(address[0])
        if ip_address(address[0]).is_global:
            raise ConnectionRefusedError
        await really(self, sock, address)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", connect)
    return seen


@pytest.fixture
def answering(monkeypatch):
    """Has names of example domains resolve to these addresses, one a look-up and in turn."""

    def answer(*addresses):
        turn, really = itertools.cycle(addresses), socket.getaddrinfo

        def resolve(host, port, *args, **how):
            return really(next(turn) if str(host).endswith(".example") else host, port, *args, **how)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return answer


PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_name_that_changes_its_answer_leads_to_no_private_address(answering, connected, door, private, first):
    answering(*[(PUBLIC, private), (private, PUBLIC)][first])
    for _ in range(4):
        failed(NotSent, f"https://rebind.example:{door.port}/", allowed=())

    assert connected == [PUBLIC] * 2
    assert not door.knocked()


def test_a_name_is_checked_anew_whenever_it_is_looked_up(answering, connected, door):
    answering(PUBLIC, "127.0.0.1")

    async def go():
        async with Http([]) as http:
            for _ in range(2):
                with pytest.raises(NotSent):
                    await http.call("GET", f"https://rebind.example:{door.port}/", headers={}, within=2)
                cast(TCPConnector, http._sessions[True, False].connector).clear_dns_cache()  # as after 30 s

    asyncio.run(go())
    assert connected == [PUBLIC]
    assert not door.knocked()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_is_connected_to_is_looked_at_whatever_was_resolved(monkeypatch, door, address):
    """As if the answer had changed after the resolver's check."""
    monkeypatch.setattr("workers.outbound_guard.GuardedResolver.resolve", _resolving_to(address))
    made = failed(NotSent, f"https://rebind.example:{door.port}/", allowed=())

    assert "private" in made.error
    assert not door.knocked()


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:{}/", "https://localhost:{}/", "//[::1]:{}/", "http://2130706433:{}/"]
)
def test_a_redirect_leads_nowhere(far, door, status, to):
    far.on("POST", Answer(status, headers={"Location": to.format(door.port)}))

    assert call(far.url, "POST", body=b"{}").status == status
    assert not door.knocked()


# --- hosts that are named


def test_a_named_host_may_be_plain_and_private(far):
    assert call(far.url).status == 200


def test_naming_one_host_opens_no_other(far):
    failed(NotSent, far.url.replace("127.0.0.1", "localhost"), allowed=["127.0.0.1"])
    failed(NotSent, far.url, allowed=["localhost"])


@pytest.mark.parametrize("host", ["SHOP.EXAMPLE", "shop.example.", "Shop.Example."])
def test_a_named_host_is_known_in_each_notation(monkeypatch, far, host):
    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", _resolving_to("127.0.0.1"))

    assert call(far.url.replace("127.0.0.1", host), allowed=["shop.example"]).status == 200


def test_a_named_name_may_be_private(far):
    assert call(far.url.replace("127.0.0.1", "localhost"), allowed=["localhost"]).status == 200


@pytest.mark.parametrize(
    "host", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::1.1.1.1", "a.b"]
)
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
