"""`/healthz` and `/readyz`."""

import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client as Web

from devstack.ports import free_port
from devstack.postgres import _server_user
from devstack.stores import Stores
from tests.transactions.api.outages import SPOILED, database_away, database_read_only
from txnproject import health
from workers import clock
from workers.foundation.database import rows
from workers.models import WorkerProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _new_connection(transactional_db: None) -> Iterator[None]:
    """Close dead connections, as Django does at the end of a request and its test client does not."""
    yield
    connection.close()


@pytest.fixture
def broker_lost(settings) -> None:
    """No process listens at the address of the broker."""
    settings.BROKER_URL = f"redis://127.0.0.1:{free_port()}/0"


def worker(seconds_ago: float = 0.0) -> None:
    """Add a worker process that reported `seconds_ago`."""
    made = WorkerProcess.objects.create(id=uuid.uuid4(), host="host", pid=1, queues="create")
    WorkerProcess.objects.filter(pk=made.pk).update(beat_at=Now() - timedelta(seconds=seconds_ago))


def ready(query: str = "") -> tuple[int, dict[str, Any]]:
    answer = Web().get(f"/readyz{query}")
    assert answer["Content-Type"] == "application/json"
    return answer.status_code, answer.json()


def test_a_running_process_is_healthy():
    answer = Web().get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_running_process_is_healthy_without_its_stores(broker_lost):
    with database_away():
        assert Web().get("/healthz").status_code == 200


def test_it_is_ready_when_all_parts_work():
    worker()

    status, body = ready()
    assert (status, body["ready"]) == (200, True)
    assert body["database"] == body["broker"] == {"ok": True}
    assert body["dispatcher"]["ok"] and 0 <= body["dispatcher"]["lag_seconds"] < 15


@pytest.mark.parametrize(
    ("web", "workers", "named"), [(0, 0, ""), (45, 0, "web"), (0, -45, "workers"), (-45, 45, "web and workers")]
)
def test_a_wrong_clock_is_named_and_fails_no_probe(monkeypatch, web, workers, named):
    worker()
    WorkerProcess.objects.update(clock_skew=workers)
    monkeypatch.setattr(clock.database, "skew", lambda: web)

    status, body = ready()
    assert (status, body["clock"]["ok"]) == (200, True)
    assert (body["clock"]["web_ahead_seconds"], body["clock"]["workers_ahead_seconds"]) == (web, workers)
    assert body["clock"].get("warning", "").startswith(f"the clock of {named} differs" if named else "")


@pytest.mark.parametrize("ahead", [16, 300, 3600])
def test_a_heartbeat_in_the_future_is_none(ahead):
    worker(-ahead)

    assert ready("?only=dispatcher")[0] == 503


def test_it_is_not_ready_before_any_worker():
    status, body = ready()

    assert (status, body["ready"]) == (503, False)
    assert body["dispatcher"] == {"ok": False, "error": "no worker has reported"}


def test_it_is_not_ready_when_every_worker_is_silent():
    worker(16)
    worker(100)

    status, body = ready()
    assert (status, body["dispatcher"]["ok"]) == (503, False)
    assert 16 <= body["dispatcher"]["lag_seconds"] < 60


def test_one_living_worker_is_enough():
    worker(100)
    worker()

    assert ready()[0] == 200


def test_it_is_not_ready_without_the_database():
    worker()
    with database_away():
        status, body = ready()

    assert (status, body["ready"]) == (503, False)
    assert (body["database"]["ok"], body["broker"]["ok"], body["dispatcher"]["ok"]) == (False, True, False)


def test_it_is_not_ready_without_the_broker(broker_lost):
    worker()

    status, body = ready()
    assert (status, body["ready"]) == (503, False)
    assert (body["database"]["ok"], body["broker"]["ok"], body["dispatcher"]["ok"]) == (True, False, True)


def test_errors_are_shown_by_their_name_only(broker_lost):
    with database_away():
        text = Web().get("/readyz").content.decode()

    assert "nonexistent" not in text and "127.0.0.1" not in text


@pytest.mark.parametrize("part", ["database", "broker"])
def test_one_part_can_be_checked_alone(part):
    assert ready(f"?only={part}") == (200, {"ready": True, part: {"ok": True}})


def test_a_single_check_ignores_the_other_parts(broker_lost):
    assert ready("?only=database")[0] == 200
    assert ready("?only=broker")[0] == 503
    assert ready("?only=dispatcher")[0] == 503


@pytest.mark.parametrize("part", ["", "nothing", "databas"])
def test_an_unknown_part_is_not_ready(part):
    assert ready(f"?only={part}") == (503, {"ready": False})


@pytest.mark.parametrize("spoil", SPOILED)
def test_it_is_ready_on_a_new_connection(spoil):
    worker()
    spoil()

    assert ready()[0] == 200


def test_it_is_not_ready_while_the_database_is_read_only():
    worker()
    with database_read_only():
        status, body = ready()

    assert status == 503
    assert body["database"] == {"ok": False, "error": "the database is read-only"}
    assert ready()[0] == 200


@pytest.mark.parametrize("attributes", ["read-write", "primary"])
def test_it_is_not_ready_while_no_server_of_several_can_be_written(attributes):
    connection.close()
    options = connection.settings_dict["OPTIONS"] | {"target_session_attrs": attributes}
    with database_read_only(), mock.patch.dict(connection.settings_dict, OPTIONS=options):
        connection.close()
        status, body = ready("?only=database")

    assert (status, body["database"]["error"]) == (503, "the database is read-only")


@pytest.fixture
def full_disk(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files of PostgreSQL go to a disk without room for them."""
    user = _server_user()
    if user is None or stores.postgres is None:
        pytest.skip("only root can mount a small file system for the embedded PostgreSQL")
    folder = tempfile.mkdtemp(dir="/var/tmp")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    os.chown(folder, user.pw_uid, user.pw_gid)
    monkeypatch.setattr(health, "_spilled_at", -health.SPILL_EVERY)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        cursor.execute("ALTER ROLE CURRENT_USER SET temp_tablespaces = small")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE CURRENT_USER RESET temp_tablespaces")
        cursor.execute("DROP TABLESPACE small")
    subprocess.run(["umount", folder], check=True)
    shutil.rmtree(folder)


def test_it_is_not_ready_while_the_disk_of_the_database_is_full(full_disk):
    worker()

    for _ in range(2):
        status, body = ready()
        assert (status, body["database"]) == (503, {"ok": False, "error": "the disk of the database is full"})
    assert body["dispatcher"]["ok"]


def test_a_check_writes_about_half_a_megabyte_to_the_disk():
    with transaction.atomic():
        rows("SELECT set_config('work_mem', '64', true)")
        plan = rows(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {health._SPILL}")[0][0]

    assert 300_000 < 8192 * plan[0]["Plan"]["Temp Written Blocks"] < 700_000


def test_the_disk_is_written_once_per_pause_while_that_succeeds(monkeypatch):
    monkeypatch.setattr(health, "_spilled_at", -health.SPILL_EVERY)
    assert ready("?only=database")[0] == 200
    written = health._spilled_at

    assert ready("?only=database")[0] == 200
    assert health._spilled_at == written > 0


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Event]]:
    """The check of the database gets no response before the test ends; the list gets an entry for each check."""
    checks: list[threading.Event] = []
    answer = threading.Event()

    def look() -> dict[str, Any]:
        checks.append(answer)
        answer.wait()
        return {"ok": True}

    monkeypatch.setitem(health.CHECKS, "database", health.SharedCheck(look))
    monkeypatch.setattr(health, "LIMIT", 0.05)
    yield checks
    answer.set()


def test_a_silent_store_is_not_ready_and_checked_once(silent):
    for _ in range(3):
        status, body = ready("?only=database")
        assert (status, body["database"]) == (503, {"ok": False, "error": "no response within 0.05 s"})

    assert len(silent) == 1


def test_requests_share_the_result_of_a_check(monkeypatch):
    checks: list[str] = []

    def look() -> dict[str, Any]:
        checks.append("one")
        return {"ok": True}

    monkeypatch.setitem(health.CHECKS, "database", health.SharedCheck(look))
    monkeypatch.setattr(health, "SHARED", 60)

    assert [ready("?only=database")[0] for _ in range(3)] == [200] * 3
    assert checks == ["one"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_can_use_plain_http(settings, path):
    settings.SECURE_SSL_REDIRECT = True
    worker()

    assert Web().get(path).status_code == 200
    assert Web().get("/v1/transactions").status_code == 301


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_can_use_any_host_name(path):
    worker()

    assert Web(headers={"Host": "10.1.2.3:8000"}).get(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthz/", "/readyz/x", "/metrics/", "/v1/healthz"])
def test_nothing_else_is_a_probe(path):
    assert Web().get(path).status_code == 404
