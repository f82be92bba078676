"""Both stores together, and stores that live no longer than one run."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack.environment import new_secrets, service_environment
from devstack.places import DATA, Home
from devstack.processes import StackError
from devstack.stores import PostgreSQL, Valkey


class Stores:
    """A PostgreSQL and a Valkey, each only where the environment does not name one already."""

    def __init__(self, home: Path, *, logs: Path, durable: bool, given: Mapping[str, str] | None = None) -> None:
        self._given = given or {}
        self.logs = logs
        self.postgres = (
            None if self._given.get("DATABASE_URL") else PostgreSQL(home, log=logs / "postgres.log", durable=durable)
        )
        self.valkey = None if self._given.get("BROKER_URL") else Valkey(log=logs / "valkey.log")

    @property
    def database_url(self) -> str:
        """The DATABASE_URL, the given one or that of our own server."""
        return self.postgres.url() if self.postgres else self._given["DATABASE_URL"]

    @property
    def broker_url(self) -> str:
        """The BROKER_URL, the given one or that of our own server."""
        return self.valkey.url() if self.valkey else self._given["BROKER_URL"]

    def broker_database(self, number: int) -> str:
        """The BROKER_URL of another of its numbered databases; RabbitMQ has none, and queues are shared there."""
        parts = urlsplit(self.broker_url)
        return parts._replace(path=f"/{number}").geturl() if parts.scheme.startswith("redis") else self.broker_url

    def __enter__(self) -> "Stores":
        try:
            if self.postgres:
                self.postgres.start()
            if self.valkey:
                self.valkey.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self.valkey:
            self.valkey.stop()
        if self.postgres:
            self.postgres.stop()


@contextlib.contextmanager
def throwaway_stores(given: Mapping[str, str] | None = None) -> Iterator[Stores]:
    """Stores of one run, gone with it; any number of runs may have some at the same time, in one checkout or many."""
    with Home(DATA, wait=True), contextlib.ExitStack() as making:  # one at a time, lest a sweep takes a new folder
        sweep()
        path = Path(tempfile.mkdtemp(prefix="throwaway-", dir=DATA))
        path.chmod(0o755)
        making.enter_context(Home(path))
        held = making.pop_all()
    with held:
        stores = Stores(path, logs=path / "logs", durable=False, given=given)
        try:
            with stores:
                yield stores
        finally:
            if stores.postgres:
                stores.postgres.remove()
            shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Remove what runs that were killed could not: their folders, and a PostgreSQL that may still be running there."""
    for path in DATA.glob("throwaway-*"):
        with contextlib.suppress(StackError), Home(path):  # a StackError: it is in use
            PostgreSQL(path, log=path / "postgres.log", durable=False).remove()
            shutil.rmtree(path, ignore_errors=True)


def execute(words: Sequence[str]) -> int:
    """Run a command that needs the service's settings and stores, such as `manage.py makemigrations --check`."""
    if not words:
        raise StackError("exec needs a command")
    with throwaway_stores(os.environ) as stores:
        urls = {"database_url": stores.database_url, "broker_url": stores.broker_url}
        environment = service_environment(new_secrets(), public_url="http://127.0.0.1:8000", **urls)
        return subprocess.run(words, env=environment, check=False).returncode
