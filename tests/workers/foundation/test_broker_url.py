"""BROKER_URL: valid and invalid forms, and Redis behind sentinels."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from limits import parse

from clients.rate_limits import PAUSE, TIMEOUT, counters_at
from devstack.ports import LOOPBACK, free_port
from devstack.valkey import program
from tests.servers import until
from workers.foundation.broker_url import check_broker_url, redis_client

WORD = "se/s@me"


@pytest.mark.parametrize(
    "url",
    [
        "redis://broker.example", "redis://broker.example:6379/0", "redis://:w%40rd@[::1]:6379/15", "redis://$u:$w@h/",
        "redis://h/0?socket_timeout=3", "redis://h?db=1", "rediss://user:word@h:6380/1", "rediss://h?ssl_cert_reqs=none",
        "unix:///run/valkey.sock", "unix:///run/valkey.sock?db=2", "unix://:word@/run/valkey.sock",
        "redis+sentinel://a/relay", "redis+sentinel://:w%2Frd@a:1,b:2,[::1]:3/relay/1",
        "redis+sentinel://a/relay?sentinel_username=u&sentinel_password=%40",
        "amqp://h", "amqps://u:p@h:5671/%2F?heartbeat=30", "amqp://a;amqp://b:5672",
    ],
)  # fmt: skip
def test_it_accepts_each_form(url):
    check_broker_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "h:6379", "http://h", "REDIS://h", "redis:h", "redis:/h", '"redis://h', "redis://h\r", " redis://h",
        "redis://h h", "redis://", "redis:///0", "redis://:word@", "redis://h:port", "redis://h:99999", "redis://h:0",
        "redis://h:", "redis://h:-1", "redis://[::1", "redis://h/name", "redis://h/1/2", "redis://h/-1", "redis://h/²",
        'redis://h/0"', "redis://:w/rd@h/0", "redis://:1/2@h:6379/0", "redis://:w#rd@h/0", "redis://:1#2@h/0", "redis://:w?rd@h/0",
        "redis://h?unknown=1", "redis://h?socket_timeout=x", "rediss://h?ssl_cert_reqs=maybe",
        "unix://", "unix://run/valkey.sock", "unix:///run/v.sock?db=x", "unix:///run/v.sock?unknown=1",
        "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel:///relay", "redis+sentinel://a,,b/relay",
        "redis+sentinel://a:port/relay", "redis+sentinel://a:1,b:99999/relay", "redis+sentinel://a/relay/x",
        "redis+sentinel://a/relay?db=1", "redis+sentinel://a/relay?x", "rediss+sentinel://a/relay", "sentinel://a/relay",
        "amqp://", "amqp://h:port", "amqp://h:0", "amqp://h?heartbeat=often", "amqp://h;redis://h", "amqp://h;", "amqp://u:p#@h",
    ],
)  # fmt: skip
def test_it_refuses_what_a_client_would_fail_at_or_misread(url):
    with pytest.raises(ValueError):
        check_broker_url(url)


@pytest.mark.parametrize("prefix", ["redis://user:w%2Frd@h:1/2", "unix://user:w%2Frd@/run/v.sock?db=2"])
def test_a_client_has_the_parts_of_the_url(prefix):
    given = redis_client(prefix, socket_timeout=3, socket_keepalive=True).connection_pool.connection_kwargs

    assert (given["username"], given["password"], given["db"], given["socket_timeout"]) == ("user", "w/rd", 2, 3)


# --- behind sentinels


@pytest.fixture
def ports() -> tuple[int, int, int]:
    """Ports of a server, its replica and a sentinel."""
    return free_port(), free_port(), free_port()


@pytest.fixture
def url(tmp_path: Path, ports: tuple[int, int, int]) -> Iterator[str]:
    """The URL of two servers behind a sentinel, after a sentinel that is away."""
    first, second, sentinel = ports
    common = f'bind {LOOPBACK}\nsave ""\nrequirepass {WORD}\nmasterauth {WORD}\n'
    written = {
        "first": f"port {first}\n{common}",
        "second": f"port {second}\n{common}replicaof {LOOPBACK} {first}\n",
        "sentinel": f"port {sentinel}\nbind {LOOPBACK}\nrequirepass own\nsentinel monitor relay {LOOPBACK} {first} 1\n"
        f"sentinel auth-pass relay {WORD}\nsentinel down-after-milliseconds relay 500\n",
    }
    running = []
    for name, text in written.items():
        (path := tmp_path / f"{name}.conf").write_text(text)
        command = [str(program()), str(path), *(["--sentinel"] if name == "sentinel" else [])]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path))
    away = free_port()
    yield (f"redis+sentinel://:se%2Fs%40me@{LOOPBACK}:{away},{LOOPBACK}:{sentinel}/relay/1?sentinel_password=own")
    for process in running:
        process.kill()
        process.wait()


def written_to(client: "redis.Redis") -> int | None:
    """Write a key; return the port of the server, or None if it refuses or is away."""
    try:
        client.set("a", "b")
        port: int = client.info("server")["tcp_port"]
    except redis.RedisError:
        return None
    return port


def fails_over(sentinel: "redis.Redis") -> bool:
    """Ask for a failover; the sentinel refuses it until it knows a healthy replica."""
    try:
        return bool(sentinel.execute_command("SENTINEL FAILOVER", "relay"))
    except redis.ResponseError:
        return False


@pytest.mark.slow
def test_it_writes_to_the_primary_that_the_sentinel_names(url, ports):
    first, second, sentinel = ports
    with redis_client(url, socket_timeout=2, socket_connect_timeout=2) as client:
        until(lambda: written_to(client) == first, 30)
        assert client.connection_pool.connection_kwargs["db"] == 1
        with redis.Redis(LOOPBACK, sentinel, password="own") as asked:
            until(lambda: [one["port"] for one in asked.sentinel_slaves("relay") if not one["is_disconnected"]], 30)
            until(lambda: fails_over(asked), 30)
            until(lambda: asked.sentinel_get_master_addr_by_name("relay")[1] == second, 30)

        until(lambda: written_to(client) == second, 30)


@pytest.mark.slow
def test_rate_limits_are_counted_there(url):
    with redis_client(url, socket_timeout=TIMEOUT) as client:
        until(lambda: written_to(client), 30)
    counters = counters_at(url)

    assert [counters.wait(1, parse("2/hour")) is None for _ in range(3)] == [True, True, False]
    assert counters._retry_at is None, f"Redis was away: no limit for {PAUSE} s"
