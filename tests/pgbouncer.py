"""PgBouncer in front of a PostgreSQL server of the tests."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

from devstack.ports import LOOPBACK, free_port
from devstack.postgres import _server_user
from devstack.processes import Child

POOL = 4
"""Sessions of PostgreSQL for all connections: fewer than the service has threads."""


class PgBouncer:
    """A running PgBouncer; `manage` sends a command to its console."""

    def __init__(self, port: int) -> None:
        self._port = port

    def url(self, database_url: str) -> str:
        """Return the DATABASE_URL that leads to the same database through this PgBouncer."""
        return f"postgresql://postgres@{LOOPBACK}:{self._port}{urlsplit(database_url).path}"

    def manage(self, command: str) -> None:
        with contextlib.closing(psycopg2.connect(self.url("//x/pgbouncer"))) as console, console.cursor() as cursor:
            console.autocommit = True
            cursor.execute(command)


@contextlib.contextmanager
def pgbouncer(database_url: str, mode: str, **settings: str) -> Iterator[PgBouncer]:
    """Run PgBouncer in a pool mode in front of the server of `database_url`; skip the test without the program."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        if os.environ.get("PGBOUNCER_REQUIRED"):
            pytest.fail("pgbouncer is not installed. Run `make pgbouncer`")
        pytest.skip("pgbouncer is not installed. Run `make pgbouncer`")
    user, port = _server_user(), free_port()
    [sockets] = parse_qs(urlsplit(database_url).query)["host"]
    options = {
        "listen_addr": LOOPBACK,
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "admin_users": "postgres",
        "pool_mode": mode,
        "default_pool_size": str(POOL) if mode == "transaction" else "100",
        "max_client_conn": "500",
        **settings,
    }
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    lines = ["[databases]", f"* = host={sockets} user=postgres", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    (folder / "pgbouncer.ini").write_text("\n".join(lines))
    child = Child("PgBouncer", [program, folder / "pgbouncer.ini"], log=folder / "log", folder=folder, user=user)
    running = PgBouncer(port)

    def answers() -> bool:
        try:
            running.manage("SHOW VERSION")
        except psycopg2.OperationalError:
            return False
        return True

    try:
        child.start()
        child.wait_ready(answers, seconds=30)
        yield running
    finally:
        child.stop()
        shutil.rmtree(folder)
