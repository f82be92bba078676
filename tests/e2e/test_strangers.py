"""Requests without a valid key or signature, beside those of clients, on a real web process."""

import threading

import psycopg2
import pytest
import requests

from devstack.stack import Stack
from tests.e2e.test_credentials import answers
from tests.e2e.test_main_job import post, wait_for

pytestmark = pytest.mark.slow


def counted(stack: Stack) -> int:
    """Return the number of refused webhooks in the database."""
    with psycopg2.connect(stack.state["database_url"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(count), 0) FROM webhooks_refusalcount")
        return int(cursor.fetchall()[0][0])


def test_a_web_process_that_stops_writes_its_counts(stack: Stack):
    before = counted(stack)
    for _ in range(20):
        assert requests.post(f"{stack.url}/webhooks/{stack.state['provider']}", b"{}", timeout=30).status_code == 401
    stack.web.stop()
    written = counted(stack)
    stack.web.start()
    wait_for(lambda: answers(f"{stack.url}/healthz"))

    assert written >= before + 20  # more, if those of an earlier test were not written yet


def test_requests_that_hold_all_other_threads_do_not_delay_a_client(stack: Stack):
    """A locked table holds all threads that answer `/readyz`, which reads it; accepting a transaction does not."""
    assert post(stack, "before-strangers", "sync").status_code == 202
    with psycopg2.connect(stack.state["database_url"]) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE workers_workerprocess")
        pages = [threading.Thread(target=requests.get, args=(f"{stack.url}/readyz",)) for _ in range(8)]
        for page in pages:
            page.start()
        wait_for(lambda: waiting(stack) >= 4)

        assert post(stack, "beside-strangers", "sync").status_code == 202
        assert waiting(stack) >= 4
    for page in pages:
        page.join()


def waiting(stack: Stack) -> int:
    """Return the number of sessions that wait for a lock."""
    with psycopg2.connect(stack.state["database_url"]) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return int(cursor.fetchall()[0][0])
