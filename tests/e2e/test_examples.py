"""Runs every block of docs/examples.md in a shell or in a separate Python process."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from devstack.ports import free_port
from devstack.stack import Stack
from tests.servers import until

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
SECTIONS = {name: text for name, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)}
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = FENCED.findall(SECTIONS["curl"])


@dataclass
class Reader:
    """Reader of the page: a client with an endpoint, and the environment variables of the page."""

    variables: dict[str, str]
    heard: Path

    def run(self, *command: str, text: str) -> str:
        done = subprocess.run(
            command, input=text, env=self.variables, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def reader(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    port, heard = free_port(), tmp_path_factory.mktemp("examples") / "heard"
    words = ["--callback-url", f"http://127.0.0.1:{port}/callback", "--provider", stack.state["provider"], "--json"]
    made = json.loads(stack.manage("createclient", "reader", *words))
    given = {"API_KEY": made["api_key"], "CALLBACK_SECRET": made["callback_secret"], "RELAY": stack.url}
    variables = {"PATH": os.environ["PATH"], "PORT": str(port), **given}
    [(_, program)] = FENCED.findall(SECTIONS["standardwebhooks"])
    with (
        heard.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.DEVNULL, env=variables
        ) as it,
    ):
        try:
            until(lambda: listens(port))
            yield Reader(variables, heard)
        finally:
            it.kill()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("number", [number for number, (language, _) in enumerate(COMMANDS) if language == "sh"])
def test_each_curl_command_gets_the_response_shown_on_the_page(reader: Reader, number: int):
    printed = reader.run("sh", "-eu", text=COMMANDS[number][1])

    language, shown = COMMANDS[number + 1] if number + 1 < len(COMMANDS) else ("", "")
    if language == "json":
        assert json.loads(printed).keys() == json.loads(shown).keys()


def test_the_requests_program_posts_polls_and_lists_transactions(reader: Reader):
    program = "".join(code for _, code in FENCED.findall(SECTIONS["requests"]))

    outcome, error, listed = reader.run(sys.executable, "-", text=program).splitlines()

    assert outcome in ("order-2001 completed", "order-2001 declined", "order-2001 failed")
    assert error == "amount type"
    assert "order-2001" in listed


def test_the_endpoint_handles_the_final_status_once(stack: Stack, reader: Reader):
    order = {"id": "order-3001", "amount": 1, "currency": "EUR", "reference": "duplicate-webhook"}
    headers = {"Authorization": f"Bearer {reader.variables['API_KEY']}"}
    requests.post(f"{stack.url}/v1/transactions", json=order, headers=headers, timeout=30).raise_for_status()

    until(lambda: "order-3001 completed\n" in reader.heard.read_text(), seconds=60)
    assert reader.heard.read_text().count("order-3001 completed\n") == 1


def test_the_endpoint_rejects_a_forged_signature(reader: Reader):
    forged = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    address = f"http://127.0.0.1:{reader.variables['PORT']}/callback"

    assert requests.post(address, data=b"{}", headers=forged, timeout=30).status_code == 401
