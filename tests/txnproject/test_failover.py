"""A primary and a hot standby: real servers."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psycopg2
import pytest
from django.db import connection

from devstack.postgres import ENVIRONMENT, SOCKET_NAME, PostgreSQL, _make_private, _server_user, postgres_programs
from devstack.processes import run_as
from devstack.stores import Stores
from tests.cast import clear_caches
from tests.servers import until
from tests.transactions.api.callers import Api, problem
from workers.foundation.database import rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def primary(stores: Stores) -> PostgreSQL:
    if stores.postgres is None:
        pytest.skip("the tests use a given PostgreSQL")
    return stores.postgres


@pytest.fixture(scope="module")
def streaming(primary: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A hot standby of the tests' PostgreSQL."""
    folder = tmp_path_factory.mktemp("standby")
    standby = PostgreSQL(folder, log=folder / "log", durable=False)
    _make_private(standby.data)
    command: list[str | Path] = [postgres_programs() / "pg_basebackup", "-D", standby.data, "-h", primary.sockets]
    options = ["-U", "postgres", "--write-recovery-conf", "--no-sync", "--checkpoint=fast"]
    subprocess.run([*command, *options], **run_as(_server_user()), env=ENVIRONMENT, check=True, capture_output=True)
    (standby.data / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)  # the primary's
    standby.start()
    yield standby
    standby.remove()


@pytest.fixture
def standby(streaming: PostgreSQL, api: Api) -> PostgreSQL:
    """The hot standby, with the rows of `api` and a transaction `order-1`."""
    api.post(id="order-1")
    [(written,)] = rows("SELECT pg_current_wal_flush_lsn()")
    with contextlib.closing(psycopg2.connect(streaming.url())) as session, session.cursor() as cursor:
        session.autocommit = True

        def replayed() -> bool:
            cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [written])
            return bool(cursor.fetchall() == [(True,)])

        until(replayed)
    return streaming


@contextlib.contextmanager
def connected(*servers: PostgreSQL, **options: str) -> Iterator[None]:
    """Connect to the first of these servers that has the attributes."""
    host = ",".join(str(server.sockets) for server in servers)
    changed = connection.settings_dict["OPTIONS"] | options
    connection.close()
    with mock.patch.dict(connection.settings_dict, HOST=host, OPTIONS=changed):
        yield
        connection.close()
    clear_caches()


def test_a_standby_alone_can_be_read_but_accepts_nothing(api, standby):
    with connected(standby):
        assert api.get("/order-1").status_code == 200
        answer = api.post(id="order-2")
        probe = api.web.get("/readyz?only=database")

    problem(answer, 503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert (probe.status_code, probe.json()["database"]["error"]) == (503, "the database is read-only")


def test_several_standbys_without_a_primary_accept_nothing(api, standby):
    with connected(standby, standby, target_session_attrs="read-write"):
        answer = api.post(id="order-2")
        probe = api.web.get("/readyz?only=database")

    problem(answer, 503, "unavailable")
    assert (probe.status_code, probe.json()["database"]["error"]) == (503, "the database is read-only")


def test_the_primary_is_found_behind_a_standby(api, standby, primary):
    with connected(standby, primary, target_session_attrs="read-write"):
        assert api.post(id="order-2").status_code == 202


def test_the_first_post_after_a_failover_to_another_host_is_accepted(api, standby, primary):
    with connected(standby, primary, target_session_attrs="any"):
        assert api.get("/order-1").status_code == 200  # on a session that is kept
        with mock.patch.dict(connection.settings_dict["OPTIONS"], target_session_attrs="read-write"):
            assert api.post(id="order-2").status_code == 202


def test_the_first_post_after_a_promotion_is_accepted(api, standby):
    """The last test of this module: the standby is none afterwards."""
    with connected(standby):
        assert api.get("/order-1").status_code == 200  # on a session that is kept
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_promote()")

        assert api.post(id="order-2").status_code == 202
