"""The broker: a Redis broker whose consumers survive refused writes, and the check for `/readyz` and the dashboard."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import dramatiq
import pika
import redis
from django.conf import settings
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from pika.exceptions import AMQPError, ConnectionBlockedTimeout

from workers.foundation.broker_url import impatient_client, is_amqp

LIMIT = 1.0
"""Timeout in seconds of each step of a check: the connection, its handshake, the write."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 7.0
"""Seconds that a consumer waits before it reconnects, besides the 3 s of Dramatiq: after the second failure in a row,
and at the most. A stopping worker waits for its consumers, so the longest pause is below its supervisor's patience."""
SOON = 20.0
"""Seconds between the begin of two consumers of a queue within which the first one counts as failed."""
CHECK_KEY = "relay-check"
"""Key that a check writes in Redis for a minute, and routing key of the message that it publishes to RabbitMQ. No queue
has this name, so RabbitMQ drops the message."""

_CAUSES = {
    "READONLY": "read-only",
    "OOM": "out of memory",
    "MISCONF": "unable to save its data",
    "NOREPLICAS": "without enough replicas",
    "LOADING": "loading its data",
    "MASTERDOWN": "cut off from its primary",
    "NOPERM": "configured without the permission to write",
}
"""Causes by the code that begins an error of Redis. redis-py removes the code of the errors that have a class."""
_CODES = {
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.NoPermissionError: "NOPERM",
}


class BackingOff(dramatiq.Broker):
    """Broker whose consumers reconnect with growing pauses while their connections fail."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._began: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def consume(self, queue_name: str, *arguments: Any, **options: Any) -> Any:
        """Wait, if the last consumers of this queue ended soon; then return a new one."""
        soon = time.monotonic() - self._began.get(queue_name, -math.inf) < SOON
        self._failures[queue_name] = failures = self._failures.get(queue_name, 0) + 1 if soon else 0
        time.sleep(min(FIRST_PAUSE * (2 ** min(max(failures - 1, 0), 10) - 1), LONGEST_PAUSE))
        self._began[queue_name] = time.monotonic()
        return super().consume(queue_name, *arguments, **options)


class AmqpBroker(BackingOff, RabbitmqBroker):
    """RabbitMQ broker."""


class Broker(BackingOff, RedisBroker):
    """Redis broker that reports each error of Redis as a lost connection, which Dramatiq's consumers retry.

    Dramatiq expects no refused writes (a replica, no memory): they would end the thread of a consumer for good if
    delayed messages wait in it, and leave processed messages unacknowledged until the worker restarts.
    """

    def _dispatch(self, command: str) -> Callable[..., Any]:
        dispatch = cast(Callable[..., Any], super()._dispatch(command))  # type: ignore[no-untyped-call]

        def reported(*arguments: Any) -> Any:
            try:
                return dispatch(*arguments)
            except redis.RedisError as error:
                raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]

        return reported


def check_broker() -> dict[str, Any]:
    """Return `{"ok": True}` if the broker takes a write within a few seconds, otherwise the error in words.

    Each check opens a connection, because a kept one may lead to a server that has been replaced.
    """
    if is_amqp(settings.BROKER_URL):
        return _check_rabbitmq()
    if not hasattr(dramatiq.get_broker(), "client"):
        return {"ok": True, "note": "only Redis and RabbitMQ are checked"}
    try:
        with impatient_client(settings.BROKER_URL, LIMIT) as client:
            client.set(CHECK_KEY, "1", ex=60)
    except redis.RedisError as error:
        return {"ok": False, "error": _in_words(error)}
    return {"ok": True}


def _in_words(error: redis.RedisError) -> str:
    """Return the cause of a failed check, without texts of the server: they may contain addresses."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), str(error).split(" ", 1)[0])
    if cause := _CAUSES.get(code):
        return f"the broker is {cause}"
    return "the broker refuses writes" if isinstance(error, redis.ResponseError) else type(error).__name__


def _check_rabbitmq() -> dict[str, Any]:
    """Publish a message and wait for its confirmation. RabbitMQ blocks publishers while it lacks memory or disk."""
    servers = [_bounded(url) for url in settings.BROKER_URL.split(";")]
    try:
        with pika.BlockingConnection(servers) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", CHECK_KEY, b"")
    except ConnectionBlockedTimeout:
        return {"ok": False, "error": "the broker blocks publishers: it is out of memory or disk space"}
    except (AMQPError, OSError) as error:
        return {"ok": False, "error": type(error).__name__}
    return {"ok": True}


def _bounded(url: str) -> pika.URLParameters:
    """Return the parameters for a connection of a check."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.blocked_connection_timeout = LIMIT
    parameters.stack_timeout = 2 * LIMIT
    parameters.connection_attempts = 1
    return parameters
