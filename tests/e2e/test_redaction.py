"""Secrets in requests, and the output of real web and worker processes at level DEBUG."""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from clients.models import ApiKey
from devstack.ports import LOOPBACK, free_port
from devstack.postgres import create_database
from devstack.stack import Stack
from devstack.stores import Stores
from tests.e2e.test_main_job import wait_for

pytestmark = pytest.mark.slow

MARK = "hunter2"
TOKEN = f"{MARK}-token"
ID = "01890000-0000-7000-8000-000000000001"
HEADERS = {
    "X-Key": MARK,
    "Cookie": f"sessionid={MARK}",
    "User-Agent": MARK,
    "Referer": f"http://x.example/{MARK}?a={MARK}",
}
BODY = {"id": MARK, "amount": 1, "currency": "EUR", "reference": MARK, "metadata": {"secret": MARK}}
TABLES = (
    "transactions_transaction", "clients_apikey", "clients_client", "providers_provider", "auth_user",
    "axes_accessattempt", "django_session", "workers_job", "workers_workerprocess", "webhooks_refusalcount",
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack that logs at level DEBUG; the tests break its database."""
    stack = Stack(
        tmp_path_factory.mktemp("redaction"),
        database_url=create_database(stores.database_url, "redaction"),
        broker_url=stores.broker_database(5),
        port=free_port(),
        sandbox_port=free_port(),
        variables={"LOG_LEVEL": "DEBUG"},
    )
    stack.prepare()
    stack.start()
    yield stack
    stack.stop()


def execute(stack: Stack, *statements: str) -> None:
    with contextlib.closing(psycopg2.connect(stack.state["database_url"])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextlib.contextmanager
def without_tables(stack: Stack) -> Iterator[None]:
    """Rename the tables of users, keys, settings and jobs: each statement fails, and its error quotes it."""
    execute(stack, *[f"ALTER TABLE {table} RENAME TO {table}_gone" for table in TABLES])
    yield
    execute(stack, *[f"ALTER TABLE {table}_gone RENAME TO {table}" for table in TABLES])


@contextlib.contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """Make the database read-only, as a server with a full disk is."""
    name = stack.state["database_url"].rpartition("/")[2].partition("?")[0]
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    end += " AND pid <> pg_backend_pid()"
    execute(stack, f"ALTER DATABASE {name} SET default_transaction_read_only = on", end)
    yield
    reset = f"ALTER DATABASE {name} RESET default_transaction_read_only"
    execute(stack, "SET default_transaction_read_only = off", reset, end)


def ask(stack: Stack, method: str, path: str, headers: Mapping[str, str], **how: Any) -> int:
    url, headers = f"{stack.url}{path}?token={MARK}", {**HEADERS, **headers}
    return requests.request(method, url, headers=headers, allow_redirects=False, timeout=30, **how).status_code


def all_routes(stack: Stack) -> dict[str, set[int]]:
    """Send requests with secrets in all places to every route; return the statuses of each kind of route."""
    hook, one = f"/webhooks/{stack.state['provider']}", f"/v1/transactions/{MARK}"
    hooks = [
        hook, f"{hook}/{ID}/{TOKEN}", f"{hook}/{TOKEN}/{ID}", f"{hook}//{ID}/{TOKEN}", f"/webhooks/{MARK}",
        f"/webhooks/{MARK}/{ID}/{TOKEN}",
    ]  # fmt: skip
    api = [
        "/v1/transactions", one, f"{one}/events", f"{one}/notifications", f"{one}-none", "/v1/endpoint",
        "/v1/endpoint/enable",
    ]  # fmt: skip
    pages = [
        "/", "/healthz", "/readyz", "/metrics", "/v1/schema", "/docs", f"/problems/{MARK}", f"/static/{MARK}",
        f"/{MARK}", "/admin/", "/admin/login/", f"/admin/{MARK}/", f"/admin/transactions/transaction/{MARK}/change/",
    ]  # fmt: skip
    known = {"Authorization": f"Bearer {stack.api_key}", "Idempotency-Key": MARK, "Content-Type": "application/json"}
    bodies: list[dict[str, Any]] = [
        {}, {"json": BODY}, {"json": {"id": MARK}}, {"data": f"{{{MARK}"}, {"data": MARK * 20_000},
        {"data": {"username": MARK, "password": MARK}},
    ]  # fmt: skip
    found: dict[str, set[int]] = {}
    for kind, paths in (("webhooks", hooks), ("api", api), ("pages", pages)):
        for path in paths:
            for method in ("GET", "POST", "PUT"):
                for body in bodies if method == "POST" else bodies[:1]:
                    for headers in ({}, {"Authorization": f"Bearer {MARK}"}, known) if kind == "api" else ({},):
                        found.setdefault(kind, set()).add(ask(stack, method, path, headers, **body))
    found["pages"].add(login(stack))
    found["webhooks"].add(ask(stack, "POST", hooks[1], {"Content-Encoding": MARK}, data=b"{}"))
    found["api"].add(ask(stack, "POST", api[0], known | {"Content-Type": f"text/{MARK}"}, data=b"{}"))
    found["api"].add(ask(stack, "POST", api[0], known, json=BODY | {"id": f"{MARK}-{len(found)}"}))
    found["hosts"] = {ask(stack, "POST", path, {"Host": f"{MARK}.example"}) for path in (hooks[1], one, "/admin/")}
    return found


def login(stack: Stack) -> int:
    """Try to log in to the admin with a form that has its CSRF token."""
    with requests.Session() as session:
        session.headers.update({"X-Key": MARK, "User-Agent": MARK, "Referer": stack.url})
        session.get(f"{stack.url}/admin/login/", timeout=30)
        form = {"username": MARK, "password": MARK, "csrfmiddlewaretoken": session.cookies.get("csrftoken", "")}
        return session.post(f"{stack.url}/admin/login/", form, params={"next": MARK}, timeout=30).status_code


def late(stack: Stack, path: str) -> int:
    """Return the status for a body that does not arrive."""
    with socket.create_connection((LOOPBACK, int(stack.url.rpartition(":")[2])), 30) as connection:
        head = [f"POST {path}?token={MARK} HTTP/1.1", f"Host: {LOOPBACK}", f"Authorization: Bearer {stack.api_key}"]
        head += ["Content-Type: application/json", "Content-Length: 9", "", MARK]
        connection.sendall("\r\n".join(head).encode())
        return int(connection.recv(12).split()[1])


@pytest.fixture(scope="module")
def answered(stack: Stack) -> dict[str, dict[str, set[int]]]:
    """The statuses of all routes: as usual, without tables, and with a read-only database."""
    found = {"usual": all_routes(stack)}
    found["usual"]["webhooks"].add(late(stack, f"/webhooks/{stack.state['provider']}/{ID}/{TOKEN}"))
    found["usual"]["api"].add(late(stack, "/v1/transactions"))
    with without_tables(stack):
        found["broken"] = all_routes(stack)
    with read_only(stack):
        found["read-only"] = all_routes(stack)
    wait_for(lambda: requests.get(f"{stack.url}/readyz", timeout=30).ok)
    return found


def test_every_kind_of_error_occurs(answered):
    assert answered["usual"]["webhooks"] >= {401, 404, 405, 408, 413}
    assert answered["usual"]["api"] >= {202, 400, 401, 404, 405, 408, 413, 415}
    assert answered["usual"]["pages"] >= {200, 302, 403, 404}
    assert answered["usual"]["hosts"] == {400}
    assert all(500 in answered["broken"][kind] for kind in ("webhooks", "api", "pages"))
    assert 503 in answered["read-only"]["api"]


def test_no_secret_of_a_request_is_in_any_output(stack, answered):
    logs: list[Path] = [path for path in stack.logs.iterdir() if path.name in ("web.log", "worker.log")]
    secrets = [MARK, stack.api_key, ApiKey.digest_of(stack.api_key), ApiKey.digest_of(MARK)]

    assert len(logs) == 2
    for log in logs:
        lines = log.read_text().splitlines()
        assert len(lines) > 10
        assert [line[:2000] for line in lines if any(secret in line for secret in secrets)] == []


def test_the_log_names_the_route_of_a_failed_request(stack, answered):
    lines = [json.loads(line) for line in (stack.logs / "web.log").read_text().splitlines() if line.startswith("{")]
    said = {str(line["event"]) for line in lines} | {str(line.get("route")) for line in lines}

    assert "/webhooks/<slug:provider>" in said  # of equal failures, one line with its traceback is written a minute
    assert "Service Unavailable: /readyz" in said
    assert any("psycopg2.errors.UndefinedTable" in line.get("exception", "") for line in lines)
