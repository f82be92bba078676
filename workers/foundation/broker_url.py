"""BROKER_URL: its forms, and a client of Redis or Valkey for it."""

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

REDIS = ("redis", "rediss", "unix", "redis+sentinel")
AMQP = ("amqp", "amqps")
SENTINEL_PORT = 26379
SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
"""Parameters of a redis+sentinel:// URL: the credentials at the sentinels themselves."""


def is_redis(url: str) -> bool:
    """Return whether the broker is Redis or Valkey."""
    return url.startswith(tuple(f"{scheme}://" for scheme in REDIS))


def is_amqp(url: str) -> bool:
    """Return whether the broker is RabbitMQ."""
    return url.startswith(tuple(f"{scheme}://" for scheme in AMQP))


def check_broker_url(url: str) -> None:
    """Raise ValueError unless a broker can be at this address. Makes no connection."""
    if any(character.isspace() for character in url):
        raise ValueError("A space is in the URL")
    if is_amqp(url):
        for one in url.split(";"):
            _check_amqp(one)
    elif is_redis(url):
        try:  # creates the object of a connection only, which refuses unknown parameters
            redis_client(url).connection_pool.make_connection()
        except (TypeError, redis.RedisError) as error:
            raise ValueError("A parameter of the URL is unknown or has a wrong value") from error
    else:
        raise ValueError("The URL has another scheme")


def redis_client(url: str, **options: Any) -> "redis.Redis":
    """Return a client with these options of redis-py, which connects at the first command. Raises ValueError.

    The options of the URL override them. The parts of a URL that redis-py would ignore are refused.
    """
    parts = urlsplit(url)
    if parts.fragment:
        raise ValueError("A # is in the URL")
    if parts.scheme == "redis+sentinel":
        return _by_sentinel(parts, options)
    if parts.scheme == "unix":
        if parts.hostname or not parts.path:
            raise ValueError("The path of the socket does not begin with /")
        options.pop("socket_keepalive", None)  # redis-py refuses it for a socket
    else:
        _host_and_port(parts.netloc, 6379)
        _database(parts.path)
    return redis.Redis.from_url(url, **options)


def impatient_client(url: str, timeout: float) -> "redis.Redis":
    """Return a client that tries each command once, with this timeout in seconds for the connection and the response.

    Raises ValueError.
    """
    return redis_client(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0))


def _by_sentinel(parts: SplitResult, options: dict[str, Any]) -> "redis.Redis":
    """Return a client of the primary that the sentinels name, at each new connection anew.

    The form is `redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]`; see SENTINEL_OPTIONS.
    """
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError("The name of the service is missing")
    # A sentinel that does not answer is not tried again: the next one is asked.
    own: dict[str, Any] = {name: value for name, value in options.items() if name.startswith("socket_")}
    own["retry"] = Retry(NoBackoff(), retries=0)
    for name, value in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else ():
        if name not in SENTINEL_OPTIONS:
            raise ValueError("A parameter of the URL is unknown")
        own[SENTINEL_OPTIONS[name]] = value
    hosts = [_host_and_port(host, SENTINEL_PORT) for host in parts.netloc.rpartition("@")[2].split(",")]
    # Of the whole authority, urlsplit reads the credentials, but not several hosts.
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    options |= {"username": user, "password": password, "db": _database(database)}
    sentinels = Sentinel(hosts, sentinel_kwargs=own, **options)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinels.master_for(service, redis.Redis)  # type: ignore[no-untyped-call]
    return client


def _host_and_port(netloc: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{netloc}")
    port = default if parts.port is None else parts.port  # raises ValueError for a port out of range
    if not parts.hostname or port == 0 or netloc.endswith(":"):
        raise ValueError("The host is missing or the port is wrong")
    return parts.hostname, port


def _database(path: str) -> int:
    """Return the number of a database. redis-py would take 0 for a name, and 12 for `1/2`."""
    text = path.strip("/")
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("The database is not a number")
    return int(text or 0)


def _check_amqp(url: str) -> None:
    from pika import URLParameters  # loaded only where RabbitMQ is the broker: it needs some MB

    parts = urlsplit(url)
    if parts.scheme not in AMQP or parts.fragment:
        raise ValueError("The URL has another scheme or a #")
    _host_and_port(parts.netloc, 5672)
    try:
        URLParameters(url)
    except Exception as error:  # it evaluates the TLS options of the URL as Python literals: any error may come
        raise ValueError("A parameter of the URL has a wrong value") from error
