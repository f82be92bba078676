"""Behaviour of the web server that the service relies on."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.serve import web_command
from tests.servers import until

pytestmark = pytest.mark.slow

APP = """
import json

from django.http import HttpResponse

from txnproject import asgi

class Django:
    def get_response(self, request):
        return HttpResponse(json.dumps({name: value for name, value in request.META.items() if isinstance(value, str)}))

asgi.django = Django()
application = asgi.application
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of our web server and entry point, with an application that echoes requests in place of Django."""
    (tmp_path / "telling.py").write_text(APP)
    found = free_port()
    command = [*web_command(LOOPBACK, found)[:-1], "telling:application"]
    known = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    null = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=tmp_path, env=known, stdout=null, stderr=null) as server:
        until(lambda: not is_free(found), 30)
        yield found
        server.terminate()


def told(port: int, *headers: str) -> dict[str, Any]:
    """The request that the application gets for these headers."""
    with socket.create_connection((LOOPBACK, port), 5) as connection:
        request = "\r\n".join(["GET / HTTP/1.1", "Host: relay", "Connection: close", *headers, "", ""])
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_the_entry_point_does_not_need_django_settings_module():
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    load = [sys.executable, "-c", "import txnproject.asgi"]

    run = subprocess.run(load, cwd=CHECKOUT, env=known, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


def test_the_peers_address_does_not_depend_on_headers(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Remote-Addr: 192.0.2.1")

    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_it_drops_headers_that_imitate_the_proxys(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: 192.0.2.9", "X_Forwarded_Proto: https")

    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert "HTTP_X_FORWARDED_PROTO" not in environ


def test_it_joins_the_values_of_a_repeated_header_in_order(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Webhook-Signature: a", "X-Forwarded-For: 192.0.2.2, 192.0.2.3")

    assert environ["HTTP_X_FORWARDED_FOR"].replace(" ", "") == "192.0.2.1,192.0.2.2,192.0.2.3"
