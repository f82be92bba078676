"""Bodies whose length no header tells (chunked in HTTP/1.1, any in HTTP/2), through the web process's own entry."""

import io
import json
from typing import Any

import pytest
from django.test import RequestFactory

from tests.api.callers import LARGEST, as_bytes, stored
from tests.cast import Caller

pytestmark = pytest.mark.django_db(transaction=True)


class Endless(io.BytesIO):
    """A body without end."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size >= 0, "all of it is asked for"
        self.given += size
        assert self.given < 100 * LARGEST, "it is read on and on"
        return b" " * size


def post(caller: Caller, stream: io.BytesIO) -> tuple[int, dict[str, Any]]:
    """The status and the body of the answer."""
    from txnproject.wsgi import application

    request = RequestFactory(headers=caller.bearer).post("/v1/transactions", content_type="application/json")
    environ = {**request.environ, "wsgi.input": stream, "HTTP_TRANSFER_ENCODING": "chunked"}
    environ.pop("CONTENT_LENGTH")
    said: list[str] = []
    answer = application(environ, lambda status, headers, *_: said.append(status))
    body = json.loads(b"".join(answer))
    answer.close()
    return int(said[0].split()[0]), body


def test_it_takes_a_body(alice):
    status, body = post(alice, io.BytesIO(as_bytes(100)))

    assert (status, body.get("id")) == (202, "order-1")
    assert stored() == (1, 1, 3)


def test_it_takes_64_kib(alice):
    status, _ = post(alice, io.BytesIO(as_bytes(LARGEST)))

    assert status == 202


def test_it_refuses_more_than_64_kib(alice):
    status, body = post(alice, io.BytesIO(as_bytes(LARGEST + 1)))

    assert (status, body["type"]) == (413, "http://testserver/problems/body-too-large")
    assert stored() == (0, 0, 0)


def test_it_does_not_read_a_body_without_end(alice):
    status, _ = post(alice, Endless())

    assert status == 413
