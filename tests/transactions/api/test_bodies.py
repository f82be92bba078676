"""Request bodies, before the validation of fields."""

import json

import pytest

from tests.transactions.api.callers import LARGEST, Api, as_bytes, content, refused
from transactions.models import Transaction

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nothing", b'{"id": }', b"{'id': 'a'}", b'{"id": "a",}', b"{} {}", b"\x00", b"id=a&amount=1",
        b'{"id": "\xff", "amount": 1, "currency": "EUR"}',
        b'{"id": "a", "amount": 1, "currency": "EUR", "reference": "\xc3"}',
        b'{"id": "a", "amount": 1, "currency": "EUR", "reference": "a\x00"}',
    ],
)  # fmt: skip
def test_it_refuses_invalid_json(api, body):
    refused(api.send(body), 400, "invalid")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1", b"true", b'[{"id": "a"}]'])
def test_it_refuses_json_that_is_not_an_object(api, body):
    assert "object" in refused(api.send(body), 400, "invalid")["detail"]


@pytest.mark.parametrize("body", [b"", b" ", b"\n"])
def test_it_refuses_an_empty_body(api, body):
    refused(api.send(body), 400, "invalid")


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_it_refuses_nan_and_infinity(api, name):
    body = f'{{"id": "a", "amount": {name}, "currency": "EUR"}}'

    assert name in refused(api.send(body), 400, "invalid")["detail"]


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [900, 1000, 10_000])
def test_it_refuses_a_body_that_is_nested_too_deeply(api, bracket, depth):
    refused(api.send(bracket * depth), 400, "invalid")


def test_it_refuses_a_number_of_thousands_of_digits(api):
    refused(api.send('{"id": "a", "amount": %s, "currency": "EUR"}' % ("9" * 5000)), 400, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        '{"id": "a", "amount": 1, "amount": 2, "currency": "EUR"}',
        '{"id": "a", "amount": 1, "currency": "EUR", "id": "b"}',
        '{"id": "a", "amount": 1, "currency": "EUR", "metadata": {"a": "1", "a": "2"}}',
    ],
)
def test_it_refuses_duplicate_keys(api, body):
    refused(api.send(body), 400, "invalid")


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xed\xb0\x80"])
def test_it_refuses_surrogates_written_as_bytes(api, text):
    refused(api.send(b'{"id": "a", "amount": 1, "currency": "EUR", "reference": "%s"}' % text), 400, "invalid")


def test_it_accepts_a_body_of_64_kib(api):
    assert api.send(as_bytes(LARGEST)).status_code == 202


def test_it_refuses_a_body_of_more_than_64_kib(api):
    refused(api.send(as_bytes(LARGEST + 1)), 413, "body-too-large")


@pytest.mark.parametrize("length", ["abc", "-1", "1.5", "99999999999999999999"])
def test_it_answers_an_invalid_content_length(api, length):
    answer = api.web.post("/v1/transactions", b"{}", content_type="application/json", CONTENT_LENGTH=length)

    assert answer.status_code in (400, 413)
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "application/jsonp",
     "multipart/form-data; boundary=x", "json", ";", "application/problem+json"],
)  # fmt: skip
def test_it_refuses_other_content_types(api, content_type):
    refused(api.send(json.dumps(content()), content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
def test_it_accepts_every_spelling_of_the_json_content_type(api, content_type):
    assert api.send(json.dumps(content()), content_type).status_code == 202


def test_it_reads_utf_8_and_ignores_the_charset(api):
    body = json.dumps(content(reference="é€𝄞"), ensure_ascii=False).encode()

    api.send(body, "application/json; charset=latin-1")

    assert Transaction.objects.get().reference == "é€𝄞"


def test_it_does_not_read_an_unauthenticated_body(alice):
    answer = Api(None).send(as_bytes(LARGEST + 1))

    refused(answer, 401, "not-authenticated")
