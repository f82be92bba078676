"""Rate limits of clients, counted in the broker's Redis for all web processes, or in this process without Redis."""

import threading
import time
from functools import lru_cache
from typing import cast

import structlog
from django.conf import settings
from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import ConnectionError as NoConnection
from redis import RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from clients.settings import ClientSettings
from workers.foundation.broker_url import is_redis, redis_client

log = structlog.get_logger(__name__)

TIMEOUT = 0.5
"""Timeout of a connection to Redis and of a response, in seconds."""
PAUSE = 5.0
"""Seconds without calls to Redis after a failure; one request per pause waits for a dead Redis."""


class Counters:
    """Counters of clients' requests; they pass every request while Redis is unavailable."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._lock = threading.Lock()
        self._retry_at: float | None = None
        """The end of the pause after a failure; None while Redis answers."""

    def wait(self, client_id: int, limit: RateLimitItem) -> float | None:
        """Count a request. Return None if it may pass, else the seconds until the next one may."""
        if self._paused():
            return None
        try:
            passes = self._limiter.hit(limit, str(client_id))
            free_at = 0.0 if passes else self._limiter.get_window_stats(limit, str(client_id)).reset_time
        except RedisError as error:
            if self._set_retry_at(time.monotonic() + PAUSE) is None:
                name = type(error).__name__
                log.warning("Redis is unavailable; rate limits are not enforced", action="rate_limits_off", error=name)
            return None
        if self._retry_at is not None and self._set_retry_at(None) is not None:
            log.info("Redis is available again; rate limits are enforced", action="rate_limits_on")
        return None if passes else max(free_at - time.time(), 0.0)

    def _paused(self) -> bool:
        """Return whether to skip Redis after a failure. After each pause, one request tries it again."""
        if self._retry_at is None:
            return False
        with self._lock:
            if self._retry_at is None or time.monotonic() < self._retry_at:
                return self._retry_at is not None
            self._retry_at = time.monotonic() + PAUSE
            return False

    def _set_retry_at(self, retry_at: float | None) -> float | None:
        """Return the previous value, so that of several threads one logs the change."""
        with self._lock:
            previous, self._retry_at = self._retry_at, retry_at
        return previous


def counters_at(broker_url: str) -> Counters:
    """Return counters in this Redis, or in memory for another broker."""
    if not is_redis(broker_url):
        return Counters(MemoryStorage())
    # One immediate retry: a restart of Redis breaks pooled connections, and after a failover they lead to a server that
    # refuses writes, but a new one works.
    once = Retry(NoBackoff(), retries=1, supported_errors=(NoConnection, ResponseError))
    client = redis_client(broker_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=once)
    return Counters(RedisStorage(broker_url, connection_pool=client.connection_pool, key_prefix="relay-rate"))


@lru_cache(maxsize=1)
def counters() -> Counters:
    """Return the counters of this process; create them at the first request of a client with a rate limit."""
    return counters_at(settings.BROKER_URL)


class ClientRateLimit(BaseThrottle):
    """Throttle of DRF, after authentication. For a client without a rate limit it only reads cached settings."""

    _wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        client = cast(ClientSettings, request.user)
        if client.rate_limit is not None:
            self._wait = counters().wait(client.id, client.rate_limit)
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
