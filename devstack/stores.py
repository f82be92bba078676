"""Embedded PostgreSQL and Valkey together, and temporary ones for tests."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from devstack.environment import new_secrets, service_environment
from devstack.paths import DATA, locked_data_dir
from devstack.postgres import PostgreSQL
from devstack.processes import StackError
from devstack.valkey import Valkey


class Stores:
    """An embedded PostgreSQL and Valkey. Either is left out if `given`, an environment, names a store to use."""

    def __init__(self, data_dir: Path, *, durable: bool, given: Mapping[str, str] | None = None) -> None:
        self._given = given or {}
        self.logs = data_dir / "logs"
        self.postgres = self.valkey = None
        if not self._given.get("DATABASE_URL"):
            self.postgres = PostgreSQL(data_dir, log=self.logs / "postgres.log", durable=durable)
        if not self._given.get("BROKER_URL"):
            self.valkey = Valkey(log=self.logs / "valkey.log")

    @property
    def database_url(self) -> str:
        """The DATABASE_URL of the given or embedded server."""
        return self.postgres.url() if self.postgres else self._given["DATABASE_URL"]

    @property
    def broker_url(self) -> str:
        """The BROKER_URL of the given or embedded server."""
        return self.valkey.url() if self.valkey else self._given["BROKER_URL"]

    @property
    def urls(self) -> dict[str, str]:
        """Both URLs as keyword arguments for `service_environment`."""
        return {"database_url": self.database_url, "broker_url": self.broker_url}

    def broker_database(self, number: int) -> str:
        """Return the BROKER_URL of another numbered database; RabbitMQ has none, and its queues are shared."""
        parts = urlsplit(self.broker_url)
        return parts._replace(path=f"/{number}").geturl() if parts.scheme.startswith("redis") else self.broker_url

    def __enter__(self) -> "Stores":
        try:
            for store in (self.postgres, self.valkey):
                if store:
                    store.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for store in (self.valkey, self.postgres):
            if store:
                store.stop()


@contextlib.contextmanager
def temporary_stores(given: Mapping[str, str] | None = None) -> Iterator[Stores]:
    """Start stores in a new data folder and delete it at the end; several runs can do so at the same time."""
    with contextlib.ExitStack() as folder:
        with locked_data_dir(DATA, wait=True):  # without this lock, another run could sweep the new folder
            sweep()
            path = Path(tempfile.mkdtemp(prefix="temporary-", dir=DATA))
            path.chmod(0o755)
            folder.enter_context(locked_data_dir(path))
        stores = Stores(path, durable=False, given=given)
        try:
            with stores:
                yield stores
        finally:
            if stores.postgres:
                stores.postgres.remove()
            shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Delete the temporary data folders of killed runs, and stop a PostgreSQL that still runs in one."""
    for path in DATA.glob("temporary-*"):
        with contextlib.suppress(StackError), locked_data_dir(path):  # StackError: the folder is in use
            PostgreSQL(path, log=path / "postgres.log", durable=False).remove()
            shutil.rmtree(path, ignore_errors=True)


def execute(*words: str) -> int:
    """Run a command, such as `manage.py makemigrations --check`, on temporary stores; return its exit code."""
    if not words:
        raise StackError("exec needs a command")
    with temporary_stores(os.environ) as stores:
        environment = service_environment(new_secrets(), public_url="http://127.0.0.1:8000", **stores.urls)
        return subprocess.run(words, env=environment, check=False).returncode
