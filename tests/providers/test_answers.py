"""The table of a provider's answers: the meaning of each status and body, the words in it, its reason, Retry-After."""

import asyncio
import json
from copy import copy
from uuid import UUID

import pytest

from providers.adapters.base import (
    Absent,
    AccessDenied,
    CredentialsRefused,
    Exists,
    Order,
    Refused,
    Throttled,
    Unclear,
    Unsent,
    Unusable,
)
from providers.adapters.http import HttpAdapter
from providers.models import Provider
from tests.raw import ok, raw_serving, wire
from workers.foundation.text import storable
from workers.outbound import Http

ID = UUID("01890000-0000-7000-8000-000000000001")
ORDER = Order(ID, 1250, "EUR", "March", "https://relay.example/webhooks/third")
SECRET = "hunter2/and+more"
JSON = {"Content_Type": "application/json"}
HTML = {"Content_Type": "text/html"}
COMPLETED = b'{"status": "completed"}'


def ask(call, raw, **settings):
    """Make one call to a provider that answers these bytes."""
    with raw_serving(wire(raw)) as server:
        return ask_at(server.url, call, **settings)


def ask_at(url, call, **settings):
    provider = copy(Provider(slug="third", base_url=url, id=1))
    for name, value in settings.items():
        setattr(provider, name, value)

    async def go():
        async with Http(["127.0.0.1"]) as http:
            if call == "create":
                return await HttpAdapter().create(provider, http, ORDER)
            return await HttpAdapter().read(provider, http, ID)

    return asyncio.run(go())


def error_of(call, raw, **settings):
    """Return the error that a call raises, after a check that the database can store its text."""
    with pytest.raises((Absent, AccessDenied, CredentialsRefused, Exists, Refused, Throttled, Unclear)) as caught:
        ask(call, raw, **settings)
    assert storable(str(caught.value))
    return caught.value


def said(value, status=200, **headers):
    return ok(json.dumps(value).encode(), status, **JSON | headers)


# --- creates


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\r\n\t\n",
        b"\xef\xbb\xbf",
        b"{}",
        b"[]",
        b"null",
        b"true",
        b"17",
        b'"accepted"',
        b'{"id": 5}',
        b"[{}]",
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_create_answered_2xx_empty_or_with_json_is_created(status, body):
    seen = ask("create", ok(body, status, **JSON))

    assert (seen.status, seen.unmapped) == ("pending", "")


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html>Back soon</html>",
        b"<?xml version='1.0'?><ok/>",
        b"OK",
        b"status=completed",
        b"{",
        b"\x00\xff",
    ],
)
@pytest.mark.parametrize("headers", [HTML, JSON, {}])
def test_a_create_answered_2xx_with_another_kind_of_body_is_unknown(body, headers):
    assert type(error_of("create", ok(body, 201, **headers))) is Unclear


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 500\r\n\r\n" + COMPLETED[:9],
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\n\x01\x02\x03",
        b"Content-Length: -1\r\n\r\n" + COMPLETED,
        b"Content-Length: 2000000\r\n\r\n" + b'{"a": "' + b"x" * 1_999_991 + b'"}',
        b"X Y: z\r\n\r\n" + COMPLETED,
    ],
)
def test_a_create_answered_2xx_with_an_unreadable_rest_is_created(rest):
    assert ask("create", b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n" + rest).status == "pending"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Type: text/html\r\nContent-Length: 500\r\n\r\n<html>",
        b"Content-Length: 500\r\n\r\n  <html>",
        b"Content-Type: TEXT/HTML; charset=x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_create_answered_2xx_with_half_a_page_is_unknown(rest):
    assert type(error_of("create", b"HTTP/1.1 201 Created\r\n" + rest)) is Unclear


FINAL = [("completed", ""), ("declined", "too poor"), ("failed", "too late")]


@pytest.mark.parametrize(("status", "reason"), FINAL)
@pytest.mark.parametrize("call", ["create", "read"])
def test_a_final_status_in_the_answer_counts_at_once(call, status, reason):
    seen = ask(call, said({"status": status, "message": reason}))

    assert (seen.status, seen.reason) == (status, reason)


@pytest.mark.parametrize(
    ("body", "reason"), [(b'{"message": "no funds"}', "no funds"), (b"", ""), (b"<html>", ""), (b'{"code": 51}', "")]
)
def test_a_create_answered_402_is_declined(body, reason):
    seen = ask("create", ok(body, 402))

    assert (seen.status, seen.reason) == ("declined", reason)


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status": "completed"}', b"\xff" * 9])
def test_a_create_answered_400_404_or_422_is_refused(status, body):
    error = error_of("create", ok(body, status))

    assert type(error) is Refused and str(error) == f"the provider answered {status}"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status": "completed"}'])
def test_a_create_answered_409_exists(body):
    assert type(error_of("create", ok(body, 409))) is Exists


@pytest.mark.parametrize(
    "status",
    [300, 301, 302, 303, 307, 308, 405, 406, 408, 410, 413, 418, 425, 451, 499, 500, 502, 503, 504, 520, 599, 999],
)
@pytest.mark.parametrize("body", [b"", b"<html>", COMPLETED])
def test_a_create_answered_otherwise_is_unknown(status, body):
    assert type(error_of("create", ok(body, status, Location="/x"))) is Unclear


@pytest.mark.parametrize("call", ["create", "read"])
@pytest.mark.parametrize("body", [b"", b"<html>", COMPLETED])
@pytest.mark.parametrize(("status", "kind"), [(401, CredentialsRefused), (403, AccessDenied), (429, Throttled)])
def test_these_statuses_mean_the_same_for_all_calls(call, body, status, kind):
    assert type(error_of(call, ok(body, status))) is kind


@pytest.mark.parametrize("call", ["create", "read"])
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1", "https://nowhere.invalid", "http://elsewhere.example", "https://10.0.0.1", "https://[::1]"],
)
def test_a_call_that_reaches_nobody_is_unsent(call, url):
    with pytest.raises(Unsent):
        ask_at(url, call)


@pytest.mark.parametrize("call", ["create", "read"])
@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20", b"HTTP/1.1 201 Created\r\n", b"garbage\r\n\r\n"])
def test_a_call_without_an_answer_is_unclear(call, raw):
    assert type(error_of(call, raw)) is Unclear


# --- status checks


@pytest.mark.parametrize("body", [b"", b"<html>Not found</html>", b'{"status": "completed"}'])
def test_a_status_check_answered_404_did_not_find_it(body):
    assert type(error_of("read", ok(body, 404))) is Absent


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  ", b"{}", b"[]", b"null", b"<html>", b"OK", b'{"status": null}', b'{"status": {}}', b'{"status": []}',
        b'{"status": ""}', b'{"status": "  "}', b'{"state": "completed"}', b'{"data": {"status": "completed"}}',
        b'[{"status": "completed"}]', b'{"status": {"status": "completed"}}', b'"completed"', b'{"status": "comp',
    ],
)  # fmt: skip
def test_a_status_check_without_a_status_proves_nothing(body):
    error = error_of("read", ok(body))

    assert type(error) is Unusable and error.unmapped == ""
    assert "without a status" in str(error)
    assert body.decode().strip() in str(error) or not body.strip()


@pytest.mark.parametrize("word", ["error", "COMPLETED", "done", "?", "😀", "none"])
def test_a_status_check_with_an_unknown_word_proves_nothing(word):
    error = error_of("read", said({"status": word, "data": None}))

    assert type(error) is Unusable and error.unmapped == word
    assert word in str(error)


@pytest.mark.parametrize("status", [300, 302, 303, 307, 400, 402, 405, 406, 409, 410, 418, 422, 451])
@pytest.mark.parametrize("body", [b"", b'{"message": "use POST"}', COMPLETED])
def test_a_status_check_answered_otherwise_proves_nothing(status, body):
    error = error_of("read", ok(body, status))

    assert type(error) is Unusable
    assert str(status) in str(error) and body.decode() in str(error)


@pytest.mark.parametrize("status", [301, 308])
@pytest.mark.parametrize("location", ["https://new.example/v2", "/v2/", "", "\xff\x00", f"/?key={SECRET}", "x" * 9000])
def test_a_moved_status_check_names_the_setting(status, location):
    raw = f"HTTP/1.1 {status} Moved\r\nLocation: {location.replace(chr(0), '')}\r\n\r\n".encode("latin-1")
    error = error_of("read", raw, headers={"X-Api-Key": SECRET})

    assert type(error) is Unusable
    assert "base_url" in str(error) and SECRET not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("status", [500, 502, 503, 504, 530, 999])
def test_a_status_check_answered_5xx_is_unclear(status):
    assert type(error_of("read", ok(COMPLETED, status))) is Unclear


# --- bodies


def padded(size):
    return json.dumps({"pad": "x" * size, "status": "completed"}).encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xef\xbb\xbf" + COMPLETED, "application/json"),
        (COMPLETED.decode().encode("utf-16"), "application/json"),
        (COMPLETED.decode().encode("utf-16-le"), "application/json; charset=utf-16"),
        (COMPLETED.decode().encode("utf-16-be"), ""),
        (COMPLETED.decode().encode("utf-32"), "text/plain"),
        (COMPLETED, "application/json; charset=utf-16"),
        (COMPLETED, "text/html"),
        (COMPLETED, "application/json; charset=klingon"),
        (COMPLETED, "application/json; charset=iso-8859-12"),
        (COMPLETED, 'application/json; charset="'),
        ('{"name": "José", "status": "completed"}'.encode("latin-1"), "application/json"),
        ('{"name": "José", "status": "completed"}'.encode("latin-1"), "application/json; charset=ISO-8859-1"),
        ('{"name": "ソ", "status": "completed"}'.encode("shift_jis"), "application/json; charset=Shift_JIS"),
        ('{"name": "ソ", "status": "completed"}'.encode("shift_jis"), "application/json"),
        ('{"name": "誠", "status": "completed"}'.encode("gbk"), "application/json; charset=gbk"),
        (b'{"name": "a\xffb", "status": "completed"}', "application/json"),
        (b'{"a\xc3": "\xf0\x9f", "status": "completed"}', "application/json"),
        (b'{"name": "a\x00b", "status": "completed"}', "application/json"),
        (b'{"name": "line\nbreak", "status": "completed"}', "application/json"),
        (rb'{"name": "\ud800 \u0000", "status": "completed"}', "application/json"),
        (b'{"n": ' + b"9" * 400 + b', "status": "completed"}', "application/json"),
        (b'{"n": -' + b"9" * 9000 + b', "status": "completed"}', "application/json"),
        (b'{"n": 1e999, "m": NaN, "o": -Infinity, "status": "completed"}', "application/json"),
        (b'{"deep": ' + b"[" * 50_000 + b"]" * 50_000 + b', "status": "completed"}', "application/json"),
        (b'{"deep": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b', "status": "completed"}', "application/json"),
        (b'{"status": "pending", "status": "completed"}', "application/json"),
        (b'\r\n\r\n {"status": "completed"} \r\n', "application/json"),
        (padded(20_000), "application/json"),
        (padded(900_000), "application/json"),
    ],
    ids=range(29),
)
@pytest.mark.parametrize("call", ["create", "read"])
def test_a_fault_in_a_field_that_is_not_needed_changes_nothing(call, body, content_type):
    seen = ask(call, ok(body, Content_Type=content_type))

    assert (seen.status, seen.unmapped) == ("completed", "")
    assert len(seen.call.excerpt) <= 500 and storable(seen.call.excerpt)


@pytest.mark.parametrize("size", [1_100_000, 2_000_000, 5_000_000])
def test_of_a_longer_answer_the_status_line_counts_alone(size):
    assert ask("create", ok(padded(size), 201)).status == "pending"
    assert type(error_of("read", ok(padded(size)))) is Unusable


@pytest.mark.parametrize(
    ("value", "key"),
    [(True, "true"), (False, "false"), (1, "1"), (0, "0"), (2.0, "2.0"), (-3, "-3"), (" OK ", "OK"), ("true", "true")],
)
@pytest.mark.parametrize("call", ["create", "read"])
def test_booleans_and_numbers_are_words_of_a_status(call, value, key):
    assert ask(call, said({"status": value}), status_map={key: "declined"}).status == "declined"


@pytest.mark.parametrize("value", [None, {}, [], {"true": 1}, ["completed"], ""])
def test_other_values_are_no_words_of_a_status(value):
    assert type(error_of("read", said({"status": value}), status_map={"": "completed"})) is Unusable
    assert ask("create", said({"status": value}), status_map={"": "completed"}).status == "pending"


@pytest.mark.parametrize("word", ["a\x00b", "\ud800", "x" * 100_000, "😀" * 300, "9" * 5000, "\x7f\x1b[31m", SECRET])
def test_any_word_can_be_stored(word):
    body = json.dumps({"status": word}).encode()
    seen = ask("create", ok(body, 201), headers={"X-Api-Key": SECRET})
    error = error_of("read", ok(body), headers={"X-Api-Key": SECRET})

    for kept in (seen.unmapped, error.unmapped):
        assert kept and len(kept) <= 100 and storable(kept)
    assert SECRET not in seen.unmapped + error.unmapped + str(error)


def test_a_header_that_is_also_a_status_does_not_hide_it():
    headers = {"X-Wanted": "completed"}

    assert ask("read", ok(COMPLETED), headers=headers).status == "completed"
    assert ask("create", ok(COMPLETED), headers=headers).status == "completed"
