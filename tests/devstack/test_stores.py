"""Embedded stores: real servers, a temporary one for each test that changes it."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from devstack import stores as stores_module
from devstack.paths import is_open_to_all, locked_data_dir
from devstack.ports import free_port, is_free
from devstack.postgres import PostgreSQL, create_database
from devstack.processes import StackError
from devstack.stores import Stores, temporary_stores
from devstack.valkey import Valkey

pytestmark = pytest.mark.slow


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def own() -> Iterator[Stores]:
    with temporary_stores() as stores:
        yield stores


@pytest.fixture
def postgres(own: Stores) -> PostgreSQL:
    assert own.postgres is not None
    return own.postgres


@pytest.fixture
def valkey(own: Stores) -> Valkey:
    assert own.valkey is not None
    return own.valkey


def test_two_runs_in_one_checkout_have_separate_stores(own: Stores) -> None:
    with temporary_stores() as other:
        query(other.database_url, "CREATE TABLE mine ()")
        assert other.broker_url != own.broker_url
        assert query(own.database_url, "SELECT to_regclass('mine')") == [(None,)]


def test_stores_named_by_the_environment_are_used_and_none_is_started() -> None:
    given = {"DATABASE_URL": "postgresql://db.example/relay", "BROKER_URL": "redis://broker.example/0"}
    with temporary_stores(given) as stores:
        assert (stores.database_url, stores.broker_url) == tuple(given.values())
        assert (stores.postgres, stores.valkey) == (None, None)


def test_postgres_keeps_committed_data_after_a_crash(postgres: PostgreSQL) -> None:
    query(postgres.url(), "CREATE TABLE kept AS SELECT 1")
    postgres.crash()
    with pytest.raises(psycopg2.OperationalError):
        query(postgres.url(), "SELECT 1")
    postgres.start()
    assert query(postgres.url(), "SELECT * FROM kept") == [(1,)]


def test_valkey_restarts_empty_on_the_same_port(valkey: Valkey) -> None:
    url = valkey.url()
    with redis.Redis.from_url(url) as client:
        client.set("held", "1")
    valkey.stop()
    assert is_free(int(url.rsplit(":", 1)[1].split("/")[0]))
    valkey.start()
    assert valkey.url() == url
    with redis.Redis.from_url(url) as client:
        assert client.get("held") is None


def test_a_server_that_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    left = PostgreSQL(tmp_path, log=tmp_path / "log", durable=False)
    left.start()
    query(left.url(), "CREATE TABLE kept AS SELECT 1")
    again = PostgreSQL(tmp_path, log=tmp_path / "log", durable=False)
    again.start()
    try:
        assert query(again.url(), "SELECT * FROM kept") == [(1,)]
    finally:
        left.stop()
        again.remove()


def test_a_process_that_reuses_the_id_is_not_stopped(postgres: PostgreSQL) -> None:
    postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.data}\n1\n5432\n\n\n\n\n")
    postgres.start()
    assert query(postgres.url(), "SELECT 1") == [(1,)]


def test_sweep_deletes_the_stores_of_a_killed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores_module, "DATA", tmp_path)
    left, in_use = tmp_path / "temporary-left", tmp_path / "temporary-in-use"
    postgres = PostgreSQL(left, log=left / "log", durable=False)
    postgres.start()
    with locked_data_dir(in_use):
        stores_module.sweep()
    assert in_use.exists()
    assert not left.exists()
    assert not postgres.running


def test_a_data_folder_can_be_locked_once(tmp_path: Path) -> None:
    with locked_data_dir(tmp_path), pytest.raises(StackError, match="in use by another run"), locked_data_dir(tmp_path):
        pass


@pytest.mark.parametrize("folder", ["long" * 30, "one,two", "with space and 100%"])
def test_postgres_works_in_a_folder_with_an_unusual_path(tmp_path: Path, folder: str) -> None:
    tmp_path.chmod(0o755)
    postgres = PostgreSQL(tmp_path / folder, log=tmp_path / "log", durable=False)
    postgres.start()
    try:
        assert query(postgres.url(), "SELECT 1") == [(1,)]
    finally:
        postgres.remove()


def test_a_new_database_replaces_an_existing_one(stores: Stores) -> None:
    url = create_database(stores.database_url, "replaced")
    query(url, "CREATE TABLE old ()")
    assert create_database(stores.database_url, "replaced") == url
    assert query(url, "SELECT to_regclass('old')") == [(None,)]


def test_a_free_port_is_free() -> None:
    assert is_free(free_port())


def test_a_folder_in_a_closed_folder_is_not_open_to_all(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    tmp_path.chmod(0o700)
    assert not is_open_to_all(tmp_path / "open")
