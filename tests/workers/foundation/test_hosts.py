"""Hosts and origins in lists of the environment, and where they are compared."""

import pytest
from django.core.exceptions import ValidationError

from workers.foundation.fields import validate_http_url
from workers.foundation.hosts import form_origin, host_name, host_pattern, origin, same_host


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example.", "shop.example"),
        ("MY_service-1", "my_service-1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
    ],
)
def test_a_host_is_read_in_each_notation(text, form):
    assert host_name(text) == form == same_host(form)


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "shop.example:443", "[::1]:443", "https://shop.example", "shop.example/", "a b", "*", "*.example",
     ".example", "user@shop.example", '"shop.example', "bücher.example", "a\n"],
)  # fmt: skip
def test_anything_else_is_no_host(text):
    with pytest.raises(ValueError):
        host_name(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [("*", "*"), (".Relay.Example.", ".relay.example"), ("Relay.Example", "relay.example"), ("::1", "[::1]"),
     ("[2001:DB8::1]", "[2001:db8::1]")],
)  # fmt: skip
def test_a_pattern_has_djangos_form(text, form):
    assert host_pattern(text) == form


@pytest.mark.parametrize("text", ["*.relay.example", "relay.example:8000", "https://relay.example", "..relay.example"])
def test_a_pattern_that_django_would_never_match_is_refused(text):
    with pytest.raises(ValueError):
        host_pattern(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("HTTPS://Shop.Example", "https://shop.example"),
        ("https://shop.example./", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80/", "http://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_has_the_form_that_browsers_send(text, form):
    assert origin(text) == form
    assert form_origin(text) == form


@pytest.mark.parametrize(
    "text",
    ["*", "https://*", "shop.example", "ftp://shop.example", "https://", "https://shop.example/path", "https://a:port",
     "https://a:99999", "https://a:0", "https://[::1", "https://user:word@a", "https://a?b", "https://a b", "null"],
)  # fmt: skip
def test_anything_else_is_no_origin(text):
    for read in (origin, form_origin):
        with pytest.raises(ValueError):
            read(text)


def test_only_forms_may_come_from_all_hosts_of_a_domain():
    assert form_origin("https://*.Relay.Example") == "https://*.relay.example"
    with pytest.raises(ValueError):
        origin("https://*.relay.example")


@pytest.mark.parametrize("host", ["shop.example", "SHOP.Example", "shop.example.", "[0:0::1]", "[::1]:80"])
def test_an_address_may_name_an_allowed_host_in_each_notation(settings, host):
    settings.OUTBOUND_ALLOWED_HOSTS = ["shop.example", "::1"]

    validate_http_url(f"http://{host}/hook")


@pytest.mark.parametrize("host", ["shop.example..", "other.example", "shop.example.evil.example", "[::2]"])
def test_another_host_is_still_refused(settings, host):
    settings.OUTBOUND_ALLOWED_HOSTS = ["shop.example", "::1"]

    with pytest.raises(ValidationError):
        validate_http_url(f"http://{host}/hook")
