"""What is relied on of the web server, asked of a real one."""

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
    """Of our web server and its entry, with an application in Django's place that answers what it was told."""
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
    """What the application is told of a request with these headers."""
    with socket.create_connection((LOOPBACK, port), 5) as connection:
        request = "\r\n".join(["GET / HTTP/1.1", "Host: relay", "Connection: close", *headers, "", ""])
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_its_entry_needs_no_variable_that_says_where_the_settings_are():
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    load = [sys.executable, "-c", "import txnproject.asgi"]

    run = subprocess.run(load, cwd=CHECKOUT, env=known, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


def test_it_tells_who_has_connected_whatever_a_header_says(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Remote-Addr: 192.0.2.1")

    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_it_drops_a_header_that_could_pass_for_the_proxys(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: 192.0.2.9", "X_Forwarded_Proto: https")

    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert "HTTP_X_FORWARDED_PROTO" not in environ


def test_it_joins_the_values_of_a_header_that_comes_twice_in_their_order(port):
    environ = told(port, "X-Forwarded-For: 192.0.2.1", "Webhook-Signature: a", "X-Forwarded-For: 192.0.2.2, 192.0.2.3")

    assert environ["HTTP_X_FORWARDED_FOR"].replace(" ", "") == "192.0.2.1,192.0.2.2,192.0.2.3"
