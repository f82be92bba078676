"""The check of the broker, and consumers of a broker that refuses writes."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed
from limits import parse

from clients.rate_limits import counters_at
from devstack.ports import free_port
from devstack.valkey import Valkey
from tests.servers import silent, until
from tests.workers.rabbit import rabbit
from txnproject.settings import _broker
from workers.broker import SOON, BackingOff, Broker, check_broker

pytestmark = pytest.mark.slow

REFUSALS = [
    (["REPLICAOF 127.0.0.1 1"], "the broker is read-only"),
    (["CONFIG SET maxmemory 1"], "the broker is out of memory"),
    (["CONFIG SET min-replicas-to-write 1"], "the broker is without enough replicas"),
    (["ACL SETUSER default -set"], "the broker is configured without the permission to write"),
]
every_refusal = pytest.mark.parametrize("commands", [commands for commands, _ in REFUSALS[:3]])


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    valkey = Valkey(log=tmp_path / "log")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
def server(valkey, settings) -> Iterator[redis.Redis]:
    """A connection to a Valkey of this test, which is the service's broker."""
    settings.BROKER_URL = valkey.url()
    with redis.Redis.from_url(valkey.url()) as client:
        yield client


@pytest.fixture
def broker(server, valkey, monkeypatch) -> Broker:
    """The service's own broker class and client, at `server`."""
    monkeypatch.setattr("txnproject.settings.BROKER_URL", valkey.url())
    return Broker(middleware=[], **_broker()["OPTIONS"])


@contextmanager
def refusing(error: str) -> Iterator[str]:
    """Serve one connection of a Redis that refuses each SET with this error. Yield its BROKER_URL."""

    def serve() -> None:
        with listener.accept()[0] as one:
            while piece := one.recv(4096):
                commands = re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n", piece)
                answers = {b"SET": f"-{error}", b"HELLO": "%1\r\n+proto\r\n:3"}
                texts = [answers.get(name, "+OK") for name in commands]
                one.sendall("".join(f"{text}\r\n" for text in texts).encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        thread.join(timeout=10)


def refuse(server: redis.Redis, commands: list[str]) -> None:
    for command in commands:
        server.execute_command(*command.split())


def accept(server: redis.Redis) -> None:
    for command in ("REPLICAOF NO ONE", "CONFIG SET maxmemory 0", "CONFIG SET min-replicas-to-write 0"):
        server.execute_command(*command.split())


@pytest.mark.parametrize(("commands", "words"), REFUSALS)
def test_a_broker_that_refuses_writes_is_reported_in_words(server, commands, words):
    refuse(server, commands)

    assert check_broker() == {"ok": False, "error": words}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("MISCONF Valkey is configured to save RDB snapshots", "the broker is unable to save its data"),
        ("LOADING Valkey is loading the dataset in memory", "the broker is loading its data"),
        ("MASTERDOWN Link with MASTER is down", "the broker is cut off from its primary"),
        ("MOVED 3999 127.0.0.1:6381", "the broker refuses writes"),
        ("ERR anything else", "the broker refuses writes"),
    ],
)
def test_other_refusals_are_reported_in_words(settings, refusal, words):
    with refusing(refusal) as settings.BROKER_URL:
        assert check_broker() == {"ok": False, "error": words}


def test_a_broker_that_takes_writes_again_is_ready(server):
    refuse(server, ["CONFIG SET maxmemory 1"])
    check_broker()
    accept(server)

    assert check_broker() == {"ok": True}
    assert 0 < server.ttl("relay-check") <= 60


def test_a_broker_that_does_not_answer_is_reported(settings):
    with silent() as port:
        settings.BROKER_URL = f"redis://127.0.0.1:{port}/0"

        assert check_broker() == {"ok": False, "error": "TimeoutError"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("ack", {"ok": True}),
        ("block", {"ok": False, "error": "the broker blocks publishers: it is out of memory or disk space"}),
    ],
)
def test_rabbitmq_is_checked_by_a_confirmed_message(settings, answer, expected):
    with rabbit(answer) as settings.BROKER_URL:
        assert check_broker() == expected


def test_rabbitmq_is_reported_when_no_address_answers(settings):
    settings.BROKER_URL = f"amqp://127.0.0.1:{free_port()};amqp://127.0.0.1:{free_port()}"

    assert check_broker() == {"ok": False, "error": "AMQPConnectionError"}


@every_refusal
def test_a_refused_message_is_a_lost_connection_for_dramatiq(server, broker, commands):
    refuse(server, commands)

    with pytest.raises(ConnectionClosed):
        broker.enqueue(dramatiq.Message("create", "one", (), {}, {}))


@every_refusal
def test_a_worker_consumes_again_after_its_broker_refused_writes(server, broker, commands, monkeypatch):
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    done: list[str] = []
    dramatiq.actor(actor_name="note", broker=broker)(done.append)
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()

    def send(name: str, delay: int | None = None) -> None:
        broker.enqueue(dramatiq.Message("default", "note", (name,), {}, {}), delay=delay)

    consumers = worker.consumers.values()
    try:
        send("delayed", 60_000)
        until(lambda: worker.consumers["default.DQ"].delay_queue.qsize() == 1)
        first = [one.consumer for one in consumers]
        refuse(server, commands)
        until(lambda: all(one.consumer not in first for one in consumers))  # each failed, and was started again
        accept(server)
        send("now")
        send("soon", 10)
        until(lambda: done == ["now", "soon"])
    finally:
        worker.stop()


@every_refusal
def test_rate_limits_are_not_enforced_while_the_broker_refuses_writes(server, valkey, commands):
    counters = counters_at(valkey.url())
    refuse(server, commands)

    assert [counters.wait(1, parse("1/hour")) for _ in range(3)] == [None] * 3


class Refusing(BackingOff):
    """A broker without a server; its consumers end at once."""

    def __init__(self) -> None:
        super().__init__(middleware=[])


@pytest.fixture
def pauses(monkeypatch) -> Iterator[list[float]]:
    """The pauses before consumers; the time stands still except for them and Dramatiq's own."""
    taken: list[float] = []
    clock = SimpleNamespace(sleep=taken.append, monotonic=lambda: sum(taken) + 3.0 * len(taken))
    monkeypatch.setattr("workers.broker.time", clock)
    monkeypatch.setattr(dramatiq.Broker, "consume", lambda *_: None)
    yield taken


def test_consumers_reconnect_with_growing_pauses(pauses):
    broker = Refusing()
    for _ in range(7):
        broker.consume("create")

    assert pauses == [0, 0, 1, 3, 7, 7, 7]


def test_each_queue_has_its_own_pauses(pauses):
    broker = Refusing()
    for queue in ("create", "create", "create", "track", "notify"):
        broker.consume(queue)

    assert pauses == [0, 0, 1, 0, 0]


def test_a_consumer_that_ran_for_a_while_is_replaced_without_a_pause(pauses):
    broker = Refusing()
    for _ in range(4):
        broker.consume("create")
    pauses.append(SOON)
    broker.consume("create")

    assert pauses[-1] == 0
