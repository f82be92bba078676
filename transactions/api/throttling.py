"""Rate limits of clients: counted in the broker's Redis over all web processes; without one, in this process."""

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
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from transactions.config import KeyOwner, client_settings

log = structlog.get_logger(__name__)

TIMEOUT = 0.5
"""Seconds that a request waits for Redis to connect, or to answer."""
PAUSE = 5.0
"""Seconds for which Redis is not asked after it has failed: a dead one holds up one request in so many seconds."""


class Counters:
    """Counts clients' requests; lets everything pass while the counters cannot be reached."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._lock = threading.Lock()
        self._away = False
        self._ask_again_at = 0.0

    def wait(self, client_id: int, limit: RateLimitItem) -> float | None:
        """Count a request. None: it may pass, else the seconds until the next one may."""
        if self._left_alone():
            return None
        try:
            passes = self._limiter.hit(limit, str(client_id))
            free_at = 0.0 if passes else self._limiter.get_window_stats(limit, str(client_id)).reset_time
        except RedisError as error:
            self._failed(error)
            return None
        self._answered()
        return None if passes else max(free_at - time.time(), 0.0)

    def _left_alone(self) -> bool:
        """Whether Redis failed a moment ago. After the pause one request asks again, and the others still do not."""
        if not self._away:
            return False
        with self._lock:
            now = time.monotonic()
            if now < self._ask_again_at:
                return True
            self._ask_again_at = now + PAUSE
            return False

    def _failed(self, error: RedisError) -> None:
        with self._lock:
            known, self._away = self._away, True
            self._ask_again_at = time.monotonic() + PAUSE
        if not known:
            said = type(error).__name__
            log.warning("Requests are not counted: rate limits do not hold", action="rate_limits_off", error=said)

    def _answered(self) -> None:
        if self._away:
            with self._lock:
                known, self._away = self._away, False
            if known:
                log.info("Requests are counted again", action="rate_limits_on")


def counters_at(broker_url: str) -> Counters:
    """Counters in this Redis, or in memory where the broker is none."""
    if not broker_url.startswith(("redis://", "rediss://", "unix://")):
        return Counters(MemoryStorage())
    # One retry, at once: after a restart of Redis every kept connection is dead, and a new one is not.
    once = Retry(NoBackoff(), retries=1, supported_errors=(NoConnection,))
    return Counters(
        RedisStorage(
            broker_url,
            key_prefix="relay-rate",
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=once,  # type: ignore[arg-type]  # any argument of redis-py's client is passed on to it
        )
    )


@lru_cache(maxsize=1)
def counters() -> Counters:
    """This process's, made at the first request of a client with a limit."""
    return counters_at(settings.BROKER_URL)


class ClientRateLimit(BaseThrottle):
    """DRF's throttle: after authentication, before the view. Without a limit it costs a look at known settings."""

    _wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        client = client_settings(cast(KeyOwner, request.user).client_id)
        if client is not None and client.rate_limit is not None:
            self._wait = counters().wait(client.id, client.rate_limit)
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
