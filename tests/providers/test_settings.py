"""Settings of providers that would break every call are refused."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from providers.models import Provider

pytestmark = pytest.mark.django_db


def refused(**settings):
    provider = Provider(slug="third", **{"base_url": "https://third.example", **settings})
    with pytest.raises(ValidationError) as caught:
        provider.full_clean()
    return caught.value.message_dict


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection", "UPGRADE"])
def test_a_header_of_the_connection_is_refused(name):
    assert "leave it out" in refused(headers={name: "1"})["headers"][0]


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_fixed_idempotency_key_is_refused(name):
    assert "take all creates for one" in refused(headers={name: "1"})["headers"][0]


@pytest.mark.parametrize("name", ["Range", "If-None-Match", "if-modified-since"])
def test_a_header_that_empties_answers_is_refused(name):
    assert "incomplete answers" in refused(headers={name: "1"})["headers"][0]


@pytest.mark.parametrize("names", [("X-Key", "x-key"), ("Cookie", "COOKIE"), ("accept", "Accept", "ACCEPT")])
def test_a_header_that_is_named_twice_is_refused_without_its_value(names):
    [message] = refused(headers=dict.fromkeys(names, "hunter2"))["headers"]

    assert names[0].lower() in message and "hunter2" not in message


@pytest.mark.parametrize("name", ["Content-Type", "Cookie", "Authorization", "X-Api-Key"])
def test_other_headers_may_have_a_fixed_value(name):
    fixed: Any = {name: "1"}

    Provider(slug="third", base_url="https://third.example", headers=fixed).full_clean()


@pytest.mark.parametrize("path", ["/status", "/transactions/id", "/{ID}"])
def test_a_status_path_without_the_id_is_refused(path):
    assert "status_path" in refused(status_path=path)


@pytest.mark.parametrize("url", ["https://third.example/?v=1", "https://third.example/a#b", "https://third.example?"])
def test_a_base_url_with_a_query_or_fragment_is_refused(url):
    assert "paths are appended" in refused(base_url=url)["base_url"][0]
