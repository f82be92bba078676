"""The service behind a real PgBouncer, and its refusal to work there without its session settings."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
import requests

from devstack.environment import new_secrets, service_environment
from devstack.paths import CHECKOUT
from devstack.ports import free_port
from devstack.postgres import create_database
from devstack.stack import Stack
from devstack.stores import Stores
from tests.e2e.test_main_job import FINAL, post, told, wait_for
from tests.pgbouncer import PgBouncer, pgbouncer

pytestmark = pytest.mark.slow

IGNORED = {"ignore_startup_parameters": "options"}


@pytest.fixture(scope="module")
def database(stores: Stores) -> str:
    if stores.postgres is None:
        pytest.skip("the tests use a given PostgreSQL")
    return create_database(stores.database_url, "pooled")


def checked(stores: Stores, database_url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Check the settings as a web or worker process does when it starts."""
    urls = {"database_url": database_url, "broker_url": stores.broker_url, "public_url": "http://127.0.0.1:1"}
    known = service_environment(new_secrets(), **urls) | variables
    check = [sys.executable, "-c", "import txnproject.wsgi"]
    return subprocess.run(check, cwd=CHECKOUT, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("mode", "dropped", "pooler", "id_"),
    [
        ("session", {}, "off", "txnproject.E017"),
        ("transaction", IGNORED, "off", "txnproject.E016"),
        ("transaction", {}, "on", "txnproject.E016"),
    ],
)
def test_it_does_not_start_without_its_session_settings(stores, database, mode, dropped, pooler, id_):
    with pgbouncer(database, mode, **dropped) as proxy:
        run = checked(stores, proxy.url(database), DATABASE_POOLER=pooler)

    assert run.returncode and id_ in run.stderr, run.stderr
    assert "setroledefaults" in run.stderr


@pytest.fixture(scope="module", params=["session", "transaction"])
def pooled(request, stores: Stores, database: str, tmp_path_factory) -> Iterator[tuple[Stack, PgBouncer, str]]:
    """A stack whose web and worker processes reach their database through PgBouncer."""
    own = create_database(database, f"pooled_{request.param}")
    with pgbouncer(own, request.param) as proxy:
        stack = Stack(
            tmp_path_factory.mktemp("pooled"),
            database_url=proxy.url(own),
            broker_url=stores.broker_database(2),
            port=free_port(),
            sandbox_port=free_port(),
            variables={"DATABASE_POOLER": "on"},
        )
        stack.manage("setroledefaults")
        proxy.manage("RECONNECT")
        stack.prepare()
        stack.start()
        yield stack, proxy, own
        stack.stop()


def test_transactions_complete_behind_a_pooler(pooled):
    stack, _, _ = pooled
    names = [f"pooled-{number}" for number in range(60)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda name: post(stack, name, "webhook"), names))

    assert {one.status_code for one in answers} == {202}
    assert wait_for(lambda: all(told(stack, name) in FINAL for name in names))
    assert stack.sandbox_state()["provider"]["duplicate_creates"] == 0
    assert requests.get(f"{stack.url}/readyz", timeout=5).json()["ready"]


@pytest.mark.parametrize(
    "words", [["prune", "--older-than", "1"], ["rotatesecrets"], ["check", "--database", "default"]]
)
def test_commands_work_behind_a_pooler(pooled, words):
    stack, _, _ = pooled

    stack.manage(*words)


def test_no_session_keeps_a_lock_or_a_changed_setting(pooled):
    _, _, database = pooled
    with contextlib.closing(psycopg2.connect(database)) as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
        assert cursor.fetchall() == [(0,)]


def test_a_worker_and_readyz_notice_sessions_that_have_lost_their_settings(pooled, stores):
    """The last test of a stack: its web process is not ready afterwards."""
    stack, proxy, database = pooled
    with contextlib.closing(psycopg2.connect(database)) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("SELECT current_database()")
        cursor.execute(f"ALTER ROLE postgres IN DATABASE {cursor.fetchall()[0][0]} RESET ALL")
    proxy.manage("RECONNECT")

    def reported() -> bool:
        answer = requests.get(f"{stack.url}/readyz?only=database", timeout=5)
        return answer.status_code == 503 and "lack their timeouts" in json.dumps(answer.json())

    assert wait_for(reported)
    assert checked(stores, proxy.url(database), DATABASE_POOLER="on").returncode
