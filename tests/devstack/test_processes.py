"""Child processes: start, stop, and no process left behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devstack.paths import CHECKOUT
from devstack.processes import Child, StackError, stop_all

SLEEP = "import time; time.sleep(60)"
COUNT_SIGNALS = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("signal", flush=True))
print("ready", flush=True)
while True: time.sleep(0.05)
"""
PARENT = """
from devstack.processes import Child
import sys, time
child = Child("child", [sys.executable, "-c", "import time; time.sleep(60)"])
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def python(code: str, log: Path, grace: float = 10) -> Child:
    return Child("child", [sys.executable, "-c", code], log=log, grace=grace)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timeout: the condition did not become true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_child_that_ends_during_its_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = python("raise SystemExit('no such luck')", tmp_path / "log")
    child.start()
    with pytest.raises(StackError, match="no such luck"):
        child.wait_ready(lambda: False, seconds=10)


def test_a_child_that_does_not_become_ready_is_reported(tmp_path: Path) -> None:
    child = python(SLEEP, tmp_path / "log")
    child.start()
    with pytest.raises(StackError, match="child was not ready after 0 s; its log is empty"):
        child.wait_ready(lambda: False, seconds=0)
    child.kill()


def test_a_missing_program_is_reported(tmp_path: Path) -> None:
    child = Child("child", ["/nowhere/program"], log=tmp_path / "log")
    with pytest.raises(StackError, match="/nowhere/program: No such file"):
        child.start()


def test_a_child_gets_one_signal_and_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    child = python(COUNT_SIGNALS, tmp_path / "log", grace=0.5)
    child.start()
    child.wait_ready(lambda: "ready" in child.tail(), seconds=10)
    child.request_stop()
    stop_all([child])
    assert child.tail().split() == ["ready", "signal"]


def test_kill_ends_grandchildren(tmp_path: Path) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{SLEEP}']).pid, flush=True)"
    child = python(code, tmp_path / "log")
    child.start()
    until(lambda: child.tail() != "" and not child.running)
    grandchild = int(child.tail())
    assert is_alive(grandchild)
    child.kill()
    until(lambda: not is_alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can signal a child when its parent dies")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
        until(lambda: not is_alive(child))
