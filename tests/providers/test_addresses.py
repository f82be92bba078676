"""Addresses of callers in the notations that proxies use."""

from ipaddress import ip_address

import pytest
from django.test import RequestFactory

from providers.addresses import caller, may_call, networks

PROXY, OUTER_PROXY = "10.0.0.1", "192.0.2.9"


def read(*entries: str, peer: str = PROXY) -> str | None:
    """The address of a caller behind the proxy, which sends these entries."""
    address = caller(RequestFactory().get("/", REMOTE_ADDR=peer, headers={"X-Forwarded-For": ", ".join(entries)}))
    return None if address is None else str(address)


@pytest.fixture(autouse=True)
def proxies(settings):
    settings.TRUSTED_PROXIES = f"{PROXY}, {OUTER_PROXY}"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("198.51.100.7:5678", "198.51.100.7"),
        ("198.51.100.7:_port", "198.51.100.7"),
        ("[::1]:443", "::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8:0::1]:65535", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ('"198.51.100.7"', "198.51.100.7"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("for=198.51.100.7", "198.51.100.7"),
        ('For="[2001:db8::1]:4711"; proto=https', "2001:db8::1"),
        ("proto=https;by=_us;for=198.51.100.7:80", "198.51.100.7"),
        ("\t 198.51.100.7 ", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("[::ffff:c633:6407]:80", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
    ],
)
def test_it_reads_each_notation(entry, address):
    assert read(entry) == address


@pytest.mark.parametrize(
    "entry",
    [
        "unknown", "_hidden", "for=_hidden", "for=unknown", "for=", "=", "for=1.2.3.4;for=198.51.100.7", "", '"', '""',
        "[]", "1.2.3.4:", "1.2.3.4:123456", "1.2.3.4:x", '"1.2.3.4', "[1.2.3.4", "1.2.3.4]:80", "1.2.3", "01.2.3.4",
        "1.2.3.4/8", "\uff11.2.3.4", "proxy.example:80", "x" * 60_000,
    ],
)  # fmt: skip
def test_an_entry_without_an_address_is_unknown(entry):
    assert read("198.51.100.7", entry) is None


@pytest.mark.parametrize(
    "own", [f"{OUTER_PROXY}:80", f'"{OUTER_PROXY}"', f"for={OUTER_PROXY}", f"::ffff:{OUTER_PROXY}"]
)
def test_a_proxy_is_known_in_each_notation(own):
    assert read("203.0.113.66", "198.51.100.7:5678", own) == "198.51.100.7"


@pytest.mark.parametrize(
    "forged",
    [f"{PROXY}:80", f'for="{OUTER_PROXY}', '"', "for=198.51.100.9;", '"198.51.100.9', "[", "[::1]:443", f"for={PROXY}"],
)
@pytest.mark.parametrize("trusted", ["1", PROXY])
def test_forged_entries_have_no_effect(settings, forged, trusted):
    settings.TRUSTED_PROXIES = trusted

    assert read(forged, "198.51.100.7:5678") == "198.51.100.7"


@pytest.mark.parametrize("allowed", ["::ffff:198.51.100.0/120", "::ffff:198.51.100.7", "::ffff:c633:6407/128"])
def test_a_network_of_ipv4_may_be_written_as_ipv6(allowed):
    request = RequestFactory().get("/", REMOTE_ADDR="198.51.100.7")

    assert may_call(request, allowed)
    assert ip_address("203.0.113.66") not in networks(allowed)[0]
