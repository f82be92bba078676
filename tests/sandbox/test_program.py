import re
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def program():
    process = subprocess.Popen([sys.executable, "-m", "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_says_its_address_and_ends_cleanly_when_told_to(program, stop):
    assert re.search(r"http://127\.0\.0\.1:\d+/third-party ", program.stdout.readline())
    program.send_signal(stop)
    assert program.wait(timeout=5) == 0


def test_it_refuses_a_broken_secret():
    command = [sys.executable, "-m", "sandbox", "--callback-secret", "whsec_!"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "whsec_<base64>" in ended.stderr


def test_its_page_asks_no_other_host_and_shows_no_foreign_markup(sandbox):
    page = sandbox.http.get(sandbox.url + "/")
    script = sandbox.http.get(sandbox.url + "/page.js").text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "://" not in page.text + script
    assert "innerHTML" not in script
