"""Timeouts of the stores."""

from typing import Any

import dramatiq
import pytest
from django.db import connection

from tests.txnproject.test_checks import program

pytestmark = pytest.mark.slow


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value"),
    [("statement_timeout", "30s"), ("lock_timeout", "10s"), ("idle_in_transaction_session_timeout", "5s")],
)
def test_postgresql_has_timeouts(name, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone() == (value,)


@pytest.mark.django_db
def test_a_dead_connection_to_postgresql_is_noticed():
    given = connection.get_connection_params()

    assert given["connect_timeout"] == 5
    assert given["keepalives_idle"] + given["keepalives_interval"] * given["keepalives_count"] <= 60
    assert given["tcp_user_timeout"] <= 60_000


def test_calls_of_redis_end():
    broker: Any = dramatiq.get_broker()
    given = broker.client.connection_pool.connection_kwargs

    assert (given["socket_timeout"], given["socket_connect_timeout"]) == (5, 2)


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("amqp://broker.example", [10]),
        ("amqp://broker.example/%2F?heartbeat=30", [10]),
        ("amqp://a.example;amqp://b.example?heartbeat=30", [10, 10]),
        ("amqp://broker.example?blocked_connection_timeout=3", [3]),
    ],
)
def test_publishing_to_a_blocking_rabbitmq_times_out(url, limits):
    printed = """
import django, dramatiq
django.setup()
given = dramatiq.get_broker().parameters
print([one.blocked_connection_timeout for one in (given if isinstance(given, list) else [given])])
"""
    run = program("-c", printed, BROKER_URL=url)

    assert run.stdout.strip() == str([float(limit) for limit in limits]), run.stderr


def test_the_broker_can_use_a_unix_socket(tmp_path):
    ping = "import django, dramatiq; django.setup(); dramatiq.get_broker().client.ping()"

    run = program("-c", ping, BROKER_URL=f"unix://{tmp_path}/nobody.sock")

    assert "nobody.sock" in run.stderr, "it tried to connect"
    assert "TypeError" not in run.stderr
