"""Child processes: each has its own process group and log, and ends with its parent."""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

TAIL_LINES = 15
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class StackError(Exception):
    """An expected failure; its text is shown to the user without a traceback."""


@dataclass(eq=False)
class Child:
    """A supervised process. Start it from the main thread: the kernel ends it together with that thread.

    Output is appended to `log`, or goes to our own output without one. `stop_signal` requests a clean end; after
    `grace` seconds the whole process group is killed.
    """

    name: str
    command: Sequence[str | Path]
    _: KW_ONLY
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    user: pwd.struct_passwd | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 15
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _is_stopping: bool = field(default=False, init=False)
    _log_start: int = field(default=0, init=False)

    @property
    def pid(self) -> int:
        """The id of the process and of its group. Raises RuntimeError if it was not started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process. Raises StackError if the program cannot be executed."""
        with contextlib.ExitStack() as files:
            output = None
            if self.log is not None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                output = files.enter_context(self.log.open("ab"))
                self._log_start = output.tell()
            parent = os.getpid()
            try:
                self._process = subprocess.Popen(
                    self.command,
                    env=self.environment,
                    cwd=self.folder,
                    **run_as(self.user),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT if output else None,
                    start_new_session=True,
                    preexec_fn=lambda: _end_with_parent(parent, self.stop_signal),
                )
            except OSError as error:
                raise StackError(f"{self.command[0]}: {error.strerror}") from error
        self._is_stopping = False

    def request_stop(self, how: signal.Signals | None = None) -> None:
        """Send the stop signal once: a second SIGTERM makes Dramatiq abandon the jobs that it is finishing."""
        if self.running and not self._is_stopping:
            self._is_stopping = True
            os.kill(self.pid, how or self.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the process; return False if it still runs after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(max(seconds, 0))
        return not self.running

    def kill(self) -> None:
        """Kill the process and every other process of its group."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self, how: signal.Signals | None = None) -> None:
        """Request a clean end, by the signal `how` if given; kill what still runs after the grace period."""
        self.request_stop(how)
        stop_all([self])

    def wait_ready(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `ready` returns True. Raises StackError with the end of the log if it does not."""
        deadline = time.monotonic() + seconds
        while True:
            if not self.running:
                raise self.failure(f"{self.name} ended during its start (exit code {self.exit_code})")
            if ready():
                return
            if time.monotonic() > deadline:
                raise self.failure(f"{self.name} was not ready after {seconds:.0f} s")
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the last lines of the log since the last start, indented."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join("    " + line for line in lines[-TAIL_LINES:])

    def failure(self, text: str) -> StackError:
        """Return an error with this text and the end of the log."""
        tail = self.tail()
        return StackError(f"{text}. The end of its log, {self.log}:\n{tail}" if tail else f"{text}; its log is empty")


def run_as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that start a program as another user; only root can do so."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _end_with_parent(parent: int, how: signal.Signals) -> None:
    """Make the kernel send `how` when the parent dies, even by kill -9. Runs in the child, after the change of user."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, how)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


def stop_all(children: Iterable[Child]) -> None:
    """Stop several children at the same time."""
    children = list(children)
    for child in children:
        child.request_stop()
    started = time.monotonic()
    for child in children:
        child.wait(child.grace - (time.monotonic() - started))
        child.kill()


def end_on_signals() -> None:
    """Raise SystemExit on the first SIGTERM or SIGINT, so that `with` blocks stop their processes.

    Later signals are ignored: `make` and the terminal both forward one, and the second must not interrupt the cleanup.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for handled in (signal.SIGTERM, signal.SIGINT):
        signal.signal(handled, end)
