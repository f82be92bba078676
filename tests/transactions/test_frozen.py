"""Workers that freeze or lose their connection during a settle: their locks must not stop other workers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction

from providers.status import Status
from tests.cast import accepted, job, now
from tests.running import claim, settle
from transactions.observations import Observation
from transactions.snapshot import TransactionSnapshot
from transactions.status import Source
from transactions.store import lock
from workers.outcomes import Done, Outcome

pytestmark = pytest.mark.slow


@contextmanager
def frozen_while_settling(record: TransactionSnapshot) -> Iterator[None]:
    """Hold a lock on this transaction's row on another connection, which then stays idle."""
    locked, thawed = threading.Event(), threading.Event()

    def freeze() -> None:
        try:
            with transaction.atomic():
                lock([record.id])
                locked.set()
                thawed.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(freeze)
        locked.wait(10)
        yield
        thawed.set()
        assert isinstance(frozen.exception(), OperationalError)  # PostgreSQL has ended its session


@pytest.mark.django_db(transaction=True)
def test_a_worker_frozen_in_a_settle_does_not_stop_other_settles(alice, third):
    record = accepted(alice, third)
    claimed = claim(job(record, "create"))

    with frozen_while_settling(record):
        settle(claimed, Outcome(Done(), Observation(Source.CREATE, status=Status.COMPLETED)))

    assert now(record).status == "completed"
