"""Child processes: each in a process group of its own, with a log, and none left behind."""

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

LIFELINE = Path(__file__).with_name("lifeline.py")
TAIL_LINES = 15


class StackError(Exception):
    """What went wrong, as a sentence for the person at the terminal."""


class Child:
    """A command that runs beside us. Start it from the main thread: the kernel ties its life to that thread."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: pwd.struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 15,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        self.environment = environment
        self.folder = folder
        self.user = user.pw_name if user else "-"
        self.stop_signal = stop_signal
        self.grace = grace
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is alive now."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it; what it prints is appended to its log, or goes where ours goes if it has none."""
        lifeline = [sys.executable, "-I", "-S", str(LIFELINE), str(os.getpid()), str(int(self.stop_signal)), self.user]
        output = None
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            output = self.log.open("ab")
            self._log_start = output.tell()
        try:
            self._process = subprocess.Popen(
                [*lifeline, *self.command],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()
        self._told = False

    def tell_to_stop(self, how: signal.Signals | None = None) -> None:
        """Signal it, once: a second SIGTERM makes some programs (Dramatiq) drop what they are finishing."""
        if self.running and not self._told:
            self._told = True
            os.kill(self.pid, how or self.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it still runs after that."""
        try:
            if self._process is not None:
                self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and every process it left in its group, at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self, how: signal.Signals | None = None) -> None:
        """Let it finish, then make sure of it."""
        self.tell_to_stop(how)
        self.wait(self.grace)
        self.kill()

    def tail(self) -> str:
        """The last lines it has logged since it was started."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            text = file.read().decode(errors="replace")
        return "\n".join("    " + line for line in text.splitlines()[-TAIL_LINES:])

    def complaint(self, what: str) -> StackError:
        """An error that says what is wrong with this process, and where to read more."""
        tail = self.tail()
        return StackError(f"{what}. Its log, {self.log}, ends:\n{tail}" if tail else f"{what}; it logged nothing")


def stop_all(children: Iterable[Child]) -> None:
    """Stop them side by side: the slowest one decides how long it takes."""
    children = list(children)
    for child in children:
        child.tell_to_stop()
    started = time.monotonic()
    for child in children:
        child.wait(child.grace - (time.monotonic() - started))
        child.kill()


def wait_ready(child: Child, ready: Callable[[], bool], *, seconds: float) -> None:
    """Wait until `ready` is true of a child that was just started; a StackError with its log's end if it is not."""
    deadline = time.monotonic() + seconds
    while True:
        if not child.running:
            raise child.complaint(f"{child.name} ended while it was starting (exit code {child.exit_code})")
        if ready():
            return
        if time.monotonic() > deadline:
            raise child.complaint(f"{child.name} was not ready after {seconds:.0f} s")
        time.sleep(0.05)


def end_on_signals() -> None:
    """Turn the first SIGTERM or SIGINT into SystemExit, so that `with` blocks stop what they started.

    Later ones are ignored: `make` and the terminal both pass a signal on, and the second must not cut the
    clean-up short.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for handled in (signal.SIGTERM, signal.SIGINT):
        signal.signal(handled, end)
