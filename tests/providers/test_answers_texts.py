"""Texts in a provider's answers: the reason of a failure, and Retry-After."""

import json

import pytest

from tests.providers.test_answers import SECRET, ask, error_of, said
from tests.raw import ok
from workers.foundation.text import storable
from workers.outbound import MAX_RETRY_AFTER

pytestmark = pytest.mark.slow

# --- reasons


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "no"}, "no"),
        ({"errorMessage": "no"}, "no"),
        ({"error_message": "no"}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"error": {"code": 5, "detail": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"error": "invalid_request", "error_description": "no"}, "no"),
        ({"detail": "no", "title": "Bad Request", "type": "about:blank"}, "no"),
        ({"reason": "no"}, "no"),
        ({"errors": [{"message": "no"}, {"message": "never"}]}, "no"),
        ({"errors": [{"field": "amount", "detail": "no"}]}, "no"),
        ({"errors": ["no", "never"]}, "no"),
        ({"errors": {"amount": ["no"]}}, "no"),
        ({"data": {"failure": {"reason": "no"}}}, "no"),
        ({"result": {"errorMessage": "no"}}, "no"),
        ([{"message": "no"}], "no"),
        ({"message": "", "detail": None, "reason": "no"}, "no"),
        ({"message": {"text": 5}, "error": ["", {"reason": "no"}]}, "no"),
        ({"message": "  no\n"}, "no"),
        ({"message": None}, ""),
        ({"code": 5, "id": "x"}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
        ({"a": {"b": {"c": {"d": {"e": {"message": "too deep"}}}}}}, ""),
    ],
)
@pytest.mark.parametrize("status", [402, 422])
def test_the_reason_is_found_where_it_stands(status, body, reason):
    raw = said(body, status)
    found = str(error_of("create", raw)) if status == 422 else ask("create", raw).reason

    assert found == (reason or {422: "the provider answered 422", 402: ""}[status])


@pytest.mark.parametrize("text", ["x" * 10_000, "a\x00b", "\ud800!", "😀" * 5_000, "\xff", "<b>no</b>"])
def test_any_reason_can_be_stored(text):
    body = json.dumps({"message": text}).encode()
    reason = ask("create", ok(body, 402)).reason

    assert reason and len(reason) <= 500 and storable(reason)
    assert len(str(error_of("create", ok(body, 400)))) <= 500


@pytest.mark.parametrize("before", [0, 488, 495, 499, 600])
@pytest.mark.parametrize("name", ["message", "error"])
def test_a_secret_in_a_reason_is_hidden_also_at_its_end(before, name):
    raw = said({name: "x" * before + SECRET + " is no key"}, 402)

    assert SECRET[:3] not in ask("create", raw, headers={"Authorization": f"Bearer {SECRET}"}).reason


# --- Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("7", 7), (" 30 ", 30), ("1.5", 1.5), ("0.", 0), ("86401", MAX_RETRY_AFTER),
        ("9" * 20, MAX_RETRY_AFTER),
        ("9" * 400, MAX_RETRY_AFTER), ("0" * 400, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Mon, 01 Jan 2990 00:00:00 +0000", MAX_RETRY_AFTER),
    ],
)  # fmt: skip
def test_a_valid_retry_after_is_bounded(text, seconds):
    assert error_of("read", ok(status=429, Retry_After=text)).retry_after == seconds


@pytest.mark.parametrize(
    "text",
    [
        "-5", "+5", "inf", "-inf", "Infinity", "NaN", "1e3", "1,5", "0x10", "1.5.5", "", "soon", "1 minute", "²", "٣",
        ".5",
        "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999",
        "Wed, 21 Oct 2015 99:99:99 GMT", "Wed, " + "9" * 500 + " Oct 2015 07:28:00 GMT", "\xff", "9" * 400 + "x",
    ],
)  # fmt: skip
def test_another_retry_after_counts_as_none(text):
    raw = b"HTTP/1.1 429 X\r\nRetry-After: " + text.encode("utf-8" if ord(max(text + " ")) > 255 else "latin-1")
    error = error_of("read", raw + b"\r\n\r\n")

    assert error.retry_after in (None, 0.0)
    assert error.call.retry_after == 0.0
