"""Allowed IP addresses of a provider's webhooks; headers cannot change the address of the sender."""

import pytest
from django.test import Client as Web

from tests.cast import accepted
from tests.running import change
from tests.transactions.api.callers import problem
from tests.webhooks.senders import everything, refusals, signed, words
from transactions.snapshot import TransactionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

THEIRS = "198.51.100.7"
MALLORY = "203.0.113.66"
PROXY, OUTER_PROXY = "10.0.0.1", "192.0.2.9"


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    change(third, webhook_allowed_ips="198.51.100.0/24, 2001:db8:7::/48")
    return accepted(alice, third)


@pytest.fixture
def sends(third, record):
    """Sends an authentic webhook from an address with X-Forwarded-For; returns whether it was accepted."""

    def send(address: str, forwarded: str | None = None) -> bool:
        body = words(record.id)
        headers = signed(third.secret, body) | ({"X-Forwarded-For": forwarded} if forwarded is not None else {})
        answer = Web(REMOTE_ADDR=address).generic("POST", "/webhooks/third", body, "application/json", headers=headers)
        return answer.status_code == 204

    return send


@pytest.mark.parametrize(
    "address", [THEIRS, "198.51.100.255", "2001:db8:7::1", "::ffff:198.51.100.7", "::ffff:c633:6407"]
)
def test_an_allowed_address_is_taken(sends, address):
    assert sends(address)


@pytest.mark.parametrize(
    "address", [MALLORY, "198.51.101.1", "2001:db8:8::1", "::ffff:203.0.113.66", "::198.51.100.7", "", "unknown", "::1"]
)
def test_any_other_address_is_refused_and_counted(sends, address):
    before = everything()

    assert not sends(address)
    assert everything() == before
    assert refusals() == {"address": 1}


def test_the_response_does_not_reveal_that_the_address_was_the_reason(third, record, client):
    answer = client.generic("POST", "/webhooks/third", b"", "application/json", REMOTE_ADDR=MALLORY)

    problem(answer, 401, "webhook-not-authentic")


def test_an_allowed_address_alone_proves_nothing(third, record, client):
    answer = client.generic("POST", "/webhooks/third", words(record.id), "application/json", REMOTE_ADDR=THEIRS)

    problem(answer, 401, "webhook-not-authentic")
    assert refusals() == {"missing_headers": 1}


def test_no_list_allows_all(third, alice, client):
    body = words(accepted(alice, third).id)

    answer = client.generic(
        "POST", "/webhooks/third", body, "application/json", headers=signed(third.secret, body), REMOTE_ADDR=MALLORY
    )
    assert answer.status_code == 204


# --- behind proxies


@pytest.mark.parametrize("forwarded", [THEIRS, f"{THEIRS}, {THEIRS}", f"{MALLORY}, {THEIRS}"])
def test_without_proxies_the_header_is_ignored(sends, forwarded):
    assert not sends(MALLORY, forwarded)
    assert sends(THEIRS, MALLORY)


@pytest.mark.parametrize("trusted", ["1", PROXY, "10.0.0.0/8, 192.168.0.0/16"])
def test_behind_one_proxy_the_last_entry_counts(settings, sends, trusted):
    settings.TRUSTED_PROXIES = trusted

    assert sends(PROXY, THEIRS)
    assert sends(PROXY, f"{MALLORY}, {THEIRS}")
    assert not sends(PROXY, MALLORY)
    assert not sends(PROXY, f"{THEIRS}, {MALLORY}")
    assert not sends(PROXY, f"{THEIRS},{THEIRS} , {MALLORY}")


@pytest.mark.parametrize("trusted", ["2", f"{PROXY}, {OUTER_PROXY}", "10.0.0.0/8,192.0.2.0/24"])
def test_behind_two_proxies_the_last_but_one_counts(settings, sends, trusted):
    settings.TRUSTED_PROXIES = trusted

    assert sends(PROXY, f"{THEIRS}, {OUTER_PROXY}")
    assert not sends(PROXY, f"{THEIRS}, {MALLORY}, {OUTER_PROXY}")


@pytest.mark.parametrize("trusted", [PROXY, f"{PROXY},{OUTER_PROXY}"])
def test_a_request_that_bypasses_named_proxies_has_its_own_address(settings, sends, trusted):
    settings.TRUSTED_PROXIES = trusted

    assert not sends(MALLORY, THEIRS)
    assert not sends(MALLORY, f"{THEIRS}, {OUTER_PROXY}")


def test_with_fewer_entries_than_proxies_the_address_is_unknown(settings, sends):
    settings.TRUSTED_PROXIES = "2"

    assert not sends(THEIRS)
    assert not sends(THEIRS, "")
    assert not sends(PROXY, THEIRS)


@pytest.mark.parametrize("entry", [f"{THEIRS}:5678", f'for="{THEIRS}"', "[2001:db8:7::1]:443"])
def test_an_entry_may_have_a_port_and_quotes(settings, sends, entry):
    settings.TRUSTED_PROXIES = PROXY

    assert sends(PROXY, f"{MALLORY}, {entry}")
    assert not sends(PROXY, f"{entry}, {MALLORY}:443")


@pytest.mark.parametrize("trusted", ["1", PROXY])
@pytest.mark.parametrize("forwarded", ["unknown", f"{THEIRS}, unknown", f"{THEIRS},", "198.51.100.7:x", "x" * 1000])
def test_an_invalid_entry_matches_no_network(settings, sends, trusted, forwarded):
    settings.TRUSTED_PROXIES = trusted

    assert not sends(PROXY, forwarded)


def test_a_request_from_a_proxy_itself_has_the_proxys_address(settings, third, sends):
    settings.TRUSTED_PROXIES = "198.51.100.0/24"

    assert sends(THEIRS)
