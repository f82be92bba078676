"""Odd answers of the third party, read by raw sockets and by a client that is as strict as the standard."""

import http.client
import json
import socket
import uuid
from random import Random
from urllib.parse import urlsplit

import pytest

from sandbox import manners
from sandbox.manners import DECLINE_REASON, UNKNOWN, polite
from sandbox.wire import Answer

pytestmark = pytest.mark.slow

FINAL = {"completed", "declined"}
BODY = {"id": "x", "status": "completed"}


def ask(sandbox, method: str, path: str, body: object = None) -> tuple[bytes, bytes]:
    """Return the headers and the body of an answer, as bytes until the sandbox closes the connection."""
    content = json.dumps(body).encode()
    head = f"{method} /third-party{path} HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {len(content)}\r\n\r\n"
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head.encode() + content)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    headers, _, rest = answer.partition(b"\r\n\r\n")
    return headers, rest


@pytest.mark.parametrize("reference", ["close-early", "close-early-1", "close-early-2", "close-early#3"])
def test_close_early_closes_after_complete_answers_that_announce_keep_alive(sandbox, reference):
    key = str(uuid.uuid4())
    order = {"id": key, "amount": 1, "currency": "EUR", "reference": reference}
    for method, path in (("POST", "/transactions"), ("GET", f"/transactions/{key}")):
        headers, body = ask(sandbox, method, path, order)
        assert b"Connection: keep-alive" in headers
        assert f"Content-Length: {len(body)}".encode() in headers
        assert json.loads(body)["status"] in FINAL


def test_half_of_the_creates_that_are_answered_with_a_page_exist(sandbox):
    found = set()
    for number in range(12):
        answer = sandbox.create(f"html-200-{number}")
        assert (answer.status_code, answer.content) == (200, manners.HTML)
        found.add(sandbox.read(sandbox.last_id).status_code)
    assert found == {200, 404}


def test_no_status_reports_a_status_only_when_the_transaction_has_appeared(sandbox):
    answer = sandbox.create("no-status")
    assert (answer.status_code, answer.json()) == (201, {"id": sandbox.last_id})
    sandbox.until(lambda: "status" in (body := sandbox.read(sandbox.last_id).json()) and body["status"] in FINAL)


@pytest.mark.parametrize("seed", range(3))
def test_a_read_of_an_absent_transaction_without_status_is_200(seed):
    answer = manners.no_status(Random(seed), 404, {"error": "not found"})
    assert isinstance(answer, Answer)
    assert answer.http == 200
    assert json.loads(answer.content) in manners.NO_STATUS


@pytest.mark.parametrize("reference", ["huge", "huge-1", "huge-2"])
def test_huge_answers_end_with_the_status(sandbox, reference):
    answer = sandbox.create(reference)
    assert 20_000 <= len(answer.content) <= 1_000_000
    assert next(iter(answer.json())) == "history"
    assert answer.json()["status"] == "pending"


@pytest.mark.parametrize("reference", ["big-header", "big-header-1", "big-header-2"])
def test_big_headers_have_a_line_of_9_to_60_kb(sandbox, reference):
    answer = sandbox.create(reference)
    assert 9_000 <= len(answer.headers["Content-Security-Policy"]) <= 60_000
    assert answer.json()["status"] == "pending"


def test_bad_bytes_hide_no_status_from_a_tolerant_reader():
    forms = set()
    for seed in range(60):
        answer = manners.bad_bytes(Random(seed), 200, BODY)
        forms.add((answer.content, answer.headers["Content-Type"]))
        assert json.loads(answer.content.decode("utf-8-sig", "replace"))["status"] == "completed"
    assert len(forms) == 1 + len(manners.ODD_FIELDS) + len(manners.CHARSETS)


def test_mislabelled_answers_become_polite_at_the_third_read(sandbox):
    sandbox.create("mislabelled")
    url = f"{sandbox.url}/third-party/transactions/{sandbox.last_id}"
    labels = []
    for _ in range(3):
        with sandbox.http.get(url, stream=True, timeout=10) as answer:
            labels.append(answer.headers.get("Content-Encoding"))
    assert set(labels[:2]) <= set(manners.MISLABELS)
    assert labels[2] is None


def test_decline_402_gives_the_reason_and_creates_nothing(sandbox):
    for answer in (sandbox.create("decline-402"), sandbox.create("decline-402", id=sandbox.last_id)):
        assert answer.status_code == 402
        assert answer.json()["error"]["message"] == DECLINE_REASON
    assert sandbox.read(sandbox.last_id).status_code == 404


@pytest.mark.parametrize("name", ["bool-status", "number-status"])
def test_a_status_may_be_no_text(sandbox, name):
    created = sandbox.create(name).json()["status"]
    sandbox.until(lambda: sandbox.read(sandbox.last_id).json()["status"] != created)
    final = sandbox.read(sandbox.last_id).json()["status"]
    assert type(final) is {"bool-status": bool, "number-status": int}[name]
    sandbox.until(lambda: sandbox.seen(sandbox.last_id)["webhooks"])
    assert sandbox.seen(sandbox.last_id)["webhooks"][0]["status"] in FINAL


def test_forbidden_one_forbids_the_first_create_and_one_read(sandbox):
    assert sandbox.create("forbidden-one").status_code == 403
    assert [sandbox.read(sandbox.last_id).status_code for _ in range(2)] == [403, 404]
    assert sandbox.create("forbidden-one", id=sandbox.last_id).status_code == 201
    assert sandbox.create("sync").status_code == 201


def test_forbidden_reads_forbids_two_reads_of_a_transaction_that_exists(sandbox):
    assert sandbox.create("forbidden-reads").status_code == 201
    assert [sandbox.read(sandbox.last_id).status_code for _ in range(3)] == [403, 403, 200]


@pytest.mark.parametrize("number", range(4))
def test_retry_after_junk_throttles_a_create_and_a_read(sandbox, number):
    answers = [sandbox.create(f"retry-after-junk-{number}"), sandbox.read(sandbox.last_id)]
    assert [answer.status_code for answer in answers] == [429, 429]
    assert all(not answer.headers["Retry-After"].isdecimal() or not answer.headers["Retry-After"].isascii()
               for answer in answers)  # fmt: skip
    assert sandbox.create("retry-after-junk", id=sandbox.last_id).status_code == 201


def test_retry_after_huge_throttles_one_read(sandbox):
    assert sandbox.create("retry-after-huge").status_code == 201
    assert [sandbox.read(sandbox.last_id).status_code for _ in range(2)] == [429, 200]


@pytest.mark.parametrize("number", range(6))
def test_slow_bodies_are_announced_by_a_201(sandbox, number):
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    order = {"id": str(uuid.uuid4()), "amount": 1, "currency": "EUR", "reference": f"slow-body-{number}"}
    connection.request("POST", "/third-party/transactions", json.dumps(order))
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize("manner", set(UNKNOWN), ids=lambda manner: manner.__name__)
def test_no_manner_reports_a_status_of_an_absent_transaction(manner):
    for seed in range(30):
        answer = manner(Random(seed), 404, {"error": "not found"})
        if isinstance(answer, Answer):
            assert answer.http != 200 or b'"status": "completed"' not in answer.content
        else:
            assert answer.head.startswith(b"HTTP/1.1 404 ")


def test_odd_reads_of_an_unknown_id_end_with_the_second(sandbox):
    assert sandbox.control(unknown_ids="odd").json()["unknown_ids"] == "odd"
    counts = set()
    for number in range(8):
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}"))
        for _ in range(2):
            connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
            connection.request("GET", f"/third-party/transactions/{key}")
            connection.getresponse().close()
            connection.close()
        assert sandbox.read(key).json() == {"error": "not found"}
        counts.add(sandbox.seen(key)["odd_reads"])
    assert counts == {0, 2}


def test_odd_reads_before_the_create_do_not_count_after_it(sandbox):
    sandbox.control(unknown_ids="odd")
    sandbox.create("mislabelled-1")
    assert sandbox.seen(sandbox.last_id)["odd_reads"] == 0


def test_polite_answers_are_plain_json():
    assert json.loads(polite(Random(1), 200, BODY).content) == BODY
