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
def test_it_prints_its_address_and_ends_cleanly_on_a_signal(program, stop):
    assert re.search(r"http://127\.0\.0\.1:\d+/third-party ", program.stdout.readline())
    program.send_signal(stop)
    assert program.wait(timeout=5) == 0


def test_it_rejects_an_invalid_secret():
    command = [sys.executable, "-m", "sandbox", "--callback-secret", "whsec_!"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "whsec_<base64>" in ended.stderr


def test_its_page_loads_nothing_from_other_hosts_and_inserts_no_markup(sandbox):
    page = sandbox.http.get(sandbox.url + "/")
    script = sandbox.http.get(sandbox.url + "/page.js").text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "://" not in page.text + script
    assert "innerHTML" not in script
