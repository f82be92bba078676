"""`make serve`: start, stop, and no process left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from devstack.paths import CHECKOUT
from devstack.ports import free_port
from devstack.postgres import create_database
from devstack.stores import Stores

pytestmark = pytest.mark.slow

SERVE = [sys.executable, "-m", "devstack", "serve"]
MIGRATE = [sys.executable, "manage.py", "migrate", "-v0"]


@pytest.fixture
def environment(stores: Stores) -> dict[str, str]:
    """Environment of a service on an empty database of its own."""
    own = {"DATABASE_URL": create_database(stores.database_url, "serve"), "BROKER_URL": stores.broker_database(2)}
    return {**os.environ, **own, "PORT": str(free_port())}


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A ready service in a process group of its own, as under a shell or a supervisor."""
    subprocess.run(MIGRATE, cwd=CHECKOUT, env=environment, check=True)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            SERVE, cwd=CHECKOUT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    with process:
        until_ready(f"http://127.0.0.1:{environment['PORT']}/readyz")
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def until_ready(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    pytest.fail(f"timeout: {url} did not answer 200")


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_sigterm_to_the_group_stops_all_processes_cleanly(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    family = psutil.Process(served.pid).children(recursive=True)
    os.killpg(served.pid, signal.SIGTERM)
    assert served.wait(20) == 0
    assert alive(family) == []
    assert "Worker has been shut down." in (tmp_path / "log").read_text(), "the worker did not shut down cleanly"


def test_the_worker_stops_when_the_web_server_is_killed(served: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(served.pid).children(recursive=True)
    next(process for process in family if "txnproject.webserver" in process.cmdline()).kill()
    assert served.wait(20) == 1
    assert alive(family) == []


def test_memory_of_web_and_worker_is_bounded(served: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(served.pid).children(recursive=True)
    web = [process for process in family if "txnproject.webserver" in process.cmdline()]
    worker = [process for process in family if process not in web]
    assert sum(process.memory_info().rss for process in web) < 150e6
    assert sum(process.memory_info().rss for process in worker) < 250e6


def test_a_database_without_migrations_is_refused(environment: dict[str, str]) -> None:
    run = subprocess.run(SERVE, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("The database lacks migrations: ")


def test_a_taken_port_is_refused(environment: dict[str, str]) -> None:
    subprocess.run(MIGRATE, cwd=CHECKOUT, env=environment, check=True)
    with socket.create_server(("127.0.0.1", int(environment["PORT"]))):
        run = subprocess.run(SERVE, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Nothing can listen on port" in run.stderr
