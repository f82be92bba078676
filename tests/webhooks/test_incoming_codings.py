"""Webhooks with compressed bodies."""

import gzip
import zlib

import pytest

from tests.cast import accepted, make_client, make_provider, now
from tests.transactions.api.callers import LARGEST, problem
from tests.webhooks.senders import everything, recorded, refusals, send, send_signed, signed, signed_by_hmac, words
from transactions.snapshot import TransactionSnapshot
from webhooks.models import Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


GZIPPED = gzip.compress(b"id=1&status=completed&reason=None")


def twice(body: bytes) -> bytes:
    return gzip.compress(zlib.compress(body))


CODINGS = [
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
    ("deflate", raw_deflate), ("deflate, gzip", twice), (" identity ,gzip,, ", gzip.compress),
    ("gzip", lambda body: body),
    ("identity", gzip.compress), ("", gzip.compress), ("br", lambda body: body), ("utf-8", lambda body: body),
]  # fmt: skip


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_a_body_in_a_content_coding_is_read(third, record, coding, pack):
    assert send_signed(third, pack(words(record.id)), coding=coding).status_code == 204

    assert now(record).status == "completed"
    assert Webhook.objects.get().body.encode() == words(record.id)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", ""])
@pytest.mark.parametrize("scheme", [("standard", signed), ("hmac-sha256", signed_by_hmac)])
def test_a_signature_over_the_uncompressed_body_is_accepted(scheme, coding):
    auth, sign = scheme
    third = make_provider("packer", webhook_auth=auth)
    record = accepted(make_client("bob", third.provider), third)
    headers = sign(third.secret, words(record.id)) | {"Content-Encoding": coding}

    assert send("/webhooks/packer", gzip.compress(words(record.id)), headers).status_code == 204
    assert now(record).status == "completed"


def test_a_body_compressed_anew_is_the_same_webhook():
    third = make_provider("packer", webhook_auth="hmac-sha256")
    for time in (1, 2, 3):
        body = gzip.compress(words("unknown"), mtime=time)
        send("/webhooks/packer", body, signed_by_hmac(third.secret, body) | {"Content-Encoding": "gzip"})

    assert list(Webhook.objects.values_list("result", "repeats")) == [("unmatched", 2)]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "aws-chunked", "x" * 5000, "gzip," * 5, "\xe9"])
def test_an_unknown_coding_is_refused_with_those_that_are_known(third, record, coding):
    answer = send_signed(third, b"\x8b\x06\x80", coding=coding)

    assert "gzip" in problem(answer, 415, "unsupported-media-type")["detail"]
    assert answer.headers["Accept-Encoding"] == "gzip, x-gzip, deflate"
    assert (recorded(), refusals()) == ([], {"malformed": 1})


@pytest.mark.parametrize(
    "body",
    [b"\x1f\x8b", b"nothing", b"x=1&id=2", GZIPPED[:-1], GZIPPED[:-15], GZIPPED[:-8] + b"\x00" * 8, b"\xff" * 50],
)
def test_a_body_that_cannot_be_decompressed_is_refused(third, body):
    problem(send_signed(third, body, coding="gzip"), 400, "invalid")
    assert (recorded(), refusals()) == ([], {"malformed": 1})


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (bomb(LARGEST + 1), "gzip"),
        (bomb(10**7), "deflate"),
        (gzip.compress(bomb(10**7)), "gzip, gzip"),
        (bomb(10**6), ""),
    ],
)
def test_a_body_is_refused_that_is_too_large_decompressed(third, record, body, coding):
    before = everything()

    problem(send_signed(third, body, coding=coding), 413, "body-too-large")
    assert everything() == before
    assert refusals() == {"too_large": 1}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, deflate"])
def test_an_empty_body_needs_no_coding(third, coding):
    assert send_signed(third, b"", coding=coding).status_code == 204
    assert recorded() == ["ignored"]


def test_a_body_of_64_kib_is_taken_decompressed(third, record):
    body = words(record.id)

    assert send_signed(third, gzip.compress(body + b" " * (LARGEST - len(body))), coding="gzip").status_code == 204


@pytest.mark.parametrize("body", [bomb(10**7), b"\x1f\x8bbroken", gzip.compress(b"{}"), b"nothing"])
@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_the_answer_to_an_unauthentic_body_does_not_depend_on_its_coding(third, body, coding):
    headers = signed(third.secret, b"another") | {"Content-Encoding": coding}

    problem(send("/webhooks/third", body, headers), 401, "webhook-not-authentic")
    assert refusals() == {"wrong_signature": 1}
