"""Webhooks in unusual framings, over raw connections to the web server."""

import gzip
import hashlib
import hmac
from uuid import uuid4

import pytest

from devstack.stack import Stack
from tests.e2e.test_hostile_connections import answer_to

pytestmark = pytest.mark.slow

PROVIDER = "quiet"
FORM = b"Content-Type: application/x-www-form-urlencoded"
GZIP = b"Content-Encoding: gzip"


@pytest.fixture(scope="module")
def quiet(stack: Stack) -> Stack:
    """The stack with a provider that is never called and cannot sign, so that only webhooks change a status."""
    words = ["--base-url", f"{stack.sandbox_url}/third-party", "--webhook-auth", "url-token"]
    stack.manage("createprovider", PROVIDER, *words, "--set", "paused=true", "--set", "create_timeout=3")
    return stack


def accepted(stack: Stack, ref: str) -> str:
    """Our id of a new transaction at the provider that is never called."""
    body = {"id": ref, "amount": 1250, "currency": "EUR", "provider": PROVIDER}
    id_: str = stack.request("POST", "/v1/transactions", json=body).json()["provider_transaction_id"]
    return id_


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "content", "headers", "size"),
    [
        ("plain", b'{"status": "declined"}', [], 7),
        ("gzip", gzip.compress(b'{"status": "declined"}'), [GZIP], 1),
        ("unlabelled", gzip.compress(b'{"status": "declined"}'), [], 1000),
        ("two-lines", gzip.compress(gzip.compress(b'{"status": "declined"}')), [GZIP, b"CONTENT-ENCODING: X-Gzip"], 3),
        ("form", gzip.compress(b"status=declined"), [GZIP, FORM], 5),
        ("charset", "status=declined&reason=é".encode("gbk"), [FORM + b"; charset=gbk"], 1000),
    ],
)
def test_a_webhook_in_chunks_is_read(quiet: Stack, name: str, content: bytes, headers: list[bytes], size: int):
    id_ = accepted(quiet, f"chunked-{name}")
    lines = [f"POST {path(quiet, id_)} HTTP/1.1".encode(), b"Host: 127.0.0.1", b"Connection: close", *headers]
    head = b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n"

    assert answer_to(quiet, head + chunks(content, size)).startswith(b"HTTP/1.1 204 ")
    assert quiet.request("GET", f"/v1/transactions/chunked-{name}").json()["status"] == "declined"


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, gzip", b"gzip", b"identity", b"x"])
def test_a_transfer_coding_is_never_a_server_error(quiet: Stack, coding: bytes):
    lines = [f"POST {path(quiet, str(uuid4()))} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
    head = b"\r\n".join([*lines, b"Connection: close", b"Transfer-Encoding: " + coding]) + b"\r\n\r\n"

    status = answer_to(quiet, head + chunks(gzip.compress(b'{"status": "declined"}'), 5))[:12]

    assert status[:10] in (b"HTTP/1.1 2", b"HTTP/1.1 4", b""), status


def path(stack: Stack, id_: str) -> str:
    """The webhook URL of this transaction at the provider that is never called."""
    key = stack.state["ENCRYPTION_KEYS"].encode()
    token = hmac.new(key, f"webhook-url:{PROVIDER}:{id_}".encode(), hashlib.sha256).hexdigest()
    return f"/webhooks/{PROVIDER}/{id_}/{token}"
