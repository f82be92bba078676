"""A real worker with few open files, and endpoints of many clients that never answer."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.ports import free_port
from devstack.postgres import create_database
from devstack.stack import Stack
from devstack.stores import Stores
from tests.e2e.test_main_job import FINAL, post, told, wait_for

pytestmark = pytest.mark.slow

LIMIT, CLIENTS, EACH = 256, 30, 20
HANGING = f"""
from clients.models import CallbackSecret, Client
from django.db.models.functions import Now
from providers.models import Provider
from transactions.store import Order, accept
from clients.settings import client_settings
from workers.foundation.webhook_secrets import new_secret
from workers.models import Job

provider = Provider.objects.get()
for number in range({CLIENTS}):
    client = Client.objects.create(
        name=f"hangs-{{number}}", default_provider=provider, callback_url="http://127.0.0.1:PORT/callback"
    )
    CallbackSecret.objects.create(client=client, secret=new_secret())
    for nth in range({EACH}):
        order = Order(f"order-{{nth}}", 100, "EUR", "", {{}}, provider, False)
        accept(client=client_settings(client.pk), order=order)
Job.objects.exclude(kind="notify").filter(share__gt=Client.objects.order_by("pk")[0].pk).update(state="done")
Job.objects.filter(kind="notify").update(run_at=Now())
"""


@pytest.fixture
def hanging() -> Iterator[int]:
    """Yield a port that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1000)
        accepted: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    accepted.append(listener.accept()[0])
            except OSError:  # it is closed
                return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for one in accepted:
            one.close()


@pytest.fixture
def stack(stores: Stores, tmp_path: Path, hanging: int) -> Iterator[Stack]:
    stack = Stack(
        tmp_path,
        database_url=create_database(stores.database_url, "open_files"),
        broker_url=stores.broker_database(1),
        port=free_port(),
        sandbox_port=free_port(),
    )
    stack.worker.command = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *map(str, stack.worker.command)]
    stack.prepare()
    stack.manage("shell", "-c", HANGING.replace("PORT", str(hanging)))
    stack.start()
    yield stack
    stack.stop()


def test_a_worker_with_few_open_files_still_works_for_others_while_many_endpoints_hang(stack: Stack):
    refs = [f"amid-{number}" for number in range(10)]
    for ref in refs:
        assert post(stack, ref, "webhook").status_code == 202
    wait_for(lambda: all(told(stack, ref) in FINAL for ref in refs))

    log = (stack.logs / "worker.log").read_text()
    [capped] = [json.loads(line) for line in log.splitlines() if "capacity_capped" in line]
    assert capped["worker"]["open_files"] == LIMIT
    assert not re.search("limit_reached|Too many open files", log)
