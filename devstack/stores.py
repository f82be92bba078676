"""PostgreSQL and Valkey for development and tests, from wheels: nothing to install, no port or socket to collide with.

Only the wheels' programs are used. Their Python parts would create a system user and open every folder above the
data to all users when root runs them, and share one lock file with every other program that uses them.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import psycopg2
import redis

from devstack.places import (
    drop_outside_folder_if_empty,
    postgres_folder,
    postgres_programs,
    server_user,
    socket_folder,
    valkey_program,
)
from devstack.ports import free_port
from devstack.processes import Child, StackError, wait_ready

STARTING = 30.0  # seconds; far above what either needs, for a machine that is busy

POSTGRES_SETTINGS = {
    "listen_addresses": "",  # its socket only: a folder cannot collide with another server, a port can
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests only. The data need not survive the machine losing power; they do survive PostgreSQL being killed, which
# tests rely on: what it has written stays in the kernel's cache.
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


def create_database(url: str, name: str) -> str:
    """Make an empty database on the server of `url`, dropping an older one; returns the new one's DATABASE_URL."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()
    return urlsplit(url)._replace(path=f"/{name}").geturl()


class PostgreSQL:
    """A PostgreSQL server of our own, on a Unix socket."""

    def __init__(self, home: Path, *, log: Path, durable: bool) -> None:
        self.data = postgres_folder(home)
        self.sockets = socket_folder(self.data)
        self._durable = durable
        settings = POSTGRES_SETTINGS | {"unix_socket_directories": str(self.sockets)}
        settings |= {} if durable else UNSAFE_SETTINGS
        self._child = Child(
            "PostgreSQL",
            [
                postgres_programs() / "postgres",
                "-D",
                self.data,
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            log=log,
            environment={"PATH": os.defpath, "LC_ALL": "C"},
            folder=self.data,
            user=server_user(),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes everything out
        )

    def url(self) -> str:
        """The DATABASE_URL of the database that every server has."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.sockets), safe='')}"

    @property
    def running(self) -> bool:
        """Whether the one we started is alive."""
        return self._child.running

    def start(self) -> None:
        """Start it on its data, made if there are none; whatever a killed run left is dealt with."""
        self._end_leftover()
        if not (self.data / "PG_VERSION").exists():
            self._create_data()
        deadline = time.monotonic() + STARTING
        while True:
            self._child.start()
            try:
                return wait_ready(self._child, self._answers, seconds=STARTING)
            except StackError:
                self._child.kill()
                # The last sessions of a server killed with -9 keep its memory for a moment.
                if "shared memory block" not in self._child.tail() or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def stop(self) -> None:
        """Shut it down in order."""
        self._child.stop()

    def crash(self) -> None:
        """Stop it as a crash would (`pg_ctl stop -m immediate`): sessions cut off, nothing written out."""
        self._child.stop(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop it, or the one a killed run left, and delete its data."""
        self.stop()
        self._end_leftover()
        for folder in (self.data, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)
        drop_outside_folder_if_empty()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _create_data(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # of a run killed while making it
        self.data.mkdir(mode=0o700, parents=True)
        user = server_user()
        if user is not None:
            os.chown(self.data, user.pw_uid, user.pw_gid)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        run = subprocess.run(
            [postgres_programs() / "initdb", "-D", self.data, *options, *([] if self._durable else ["--no-sync"])],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd=self.data,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise StackError(f"PostgreSQL could not make its data in {self.data}:\n{run.stdout}{run.stderr}")

    def _end_leftover(self) -> None:
        """End the server that a killed run left on these data; forget a process id that is now somebody else's."""
        pid_file = self.data / "postmaster.pid"
        try:
            leftover = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            ours = str(self.data) in leftover.cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            ours = False
        if not ours:
            pid_file.unlink(missing_ok=True)
            return
        leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(10)
        except psutil.TimeoutExpired:
            leftover.send_signal(signal.SIGQUIT)
            leftover.wait(10)


class Valkey:
    """A Valkey server of our own, on a port of 127.0.0.1. It writes nothing: every start is empty."""

    def __init__(self, *, log: Path) -> None:
        self._log = log
        self._port: int | None = None
        self._child = Child("Valkey", [])

    def url(self) -> str:
        """Its BROKER_URL."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, empty: on the port it had before, or the first time on a free one."""
        if self._port is not None:
            return self._start(self._port)
        for _ in range(5):
            self._port = free_port()
            try:
                return self._start(self._port)
            except StackError as error:  # somebody took the port in between
                failure = error
        raise failure

    def stop(self) -> None:
        """End it at once; what it held is gone."""
        self._child.kill()

    def _start(self, port: int) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._child = Child("Valkey", [valkey_program(), *settings], log=self._log, folder=self._log.parent)
        self._child.start()
        try:
            wait_ready(self._child, self._answers, seconds=STARTING)
        except StackError:
            self._child.kill()
            raise

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url(), socket_timeout=2)
        try:
            # Its own id, so that another server on the same port is not taken for it.
            return int(client.info("server")["process_id"]) == self._child.pid
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
