import pytest
from django.test import RequestFactory

from txnproject.addresses import client_address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, None, "192.0.2.9"),
        (0, "203.0.113.1", "192.0.2.9"),
        (1, None, "192.0.2.9"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "198.51.100.1, 203.0.113.1", "203.0.113.1"),
        (2, "198.51.100.1, 203.0.113.1", "198.51.100.1"),
        (2, "203.0.113.1", "203.0.113.1"),
        (9, "198.51.100.1,203.0.113.1", "198.51.100.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "unknown", None),
        (1, "203.0.113.1:443", None),
        (1, "", "192.0.2.9"),
        (1, " , ", "192.0.2.9"),
    ],
)
def test_only_what_our_proxies_say_is_believed(settings, proxies, forwarded, found):
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    assert client_address(RequestFactory(REMOTE_ADDR="192.0.2.9", headers=headers).get("/")) == found


def test_who_calls_by_a_socket_has_no_address():
    assert client_address(RequestFactory(REMOTE_ADDR="").get("/")) is None
