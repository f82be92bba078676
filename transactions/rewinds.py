"""Detection of a database that has lost commits, by a high-water mark that is kept outside of it.

The mark is the newest event and the newest transaction that this process has seen committed. Neither is ever deleted,
so a database without one of them has gone back in time: a failover to a replica that lagged, or the restore of a
backup. A new timeline of PostgreSQL alone shows no loss, and it says nothing about a restored dump. Each worker keeps
its mark in memory and, for workers that start later, in the broker's Redis.

A loss of commits that are younger than the mark (less than a second) is not seen, nor is that of changes that add
neither an event nor a transaction, such as the claim of a job.
"""

import json
import threading
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from redis import Redis, RedisError

from transactions import sql
from workers.foundation.broker_url import impatient_client, is_redis
from workers.foundation.database import rows

log = structlog.get_logger(__name__)

NOTICED_WITHIN = 2.0
"""Seconds after the record of a loss within which every worker knows of it, and its runs from before begin no create.
More than the interval of periodic tasks."""
TIMEOUT = 0.5
"""Timeout of a connection to Redis and of a response, in seconds."""
NAMES = ("event", "of", "at", "sort_id")

Mark = dict[str, Any]


class HighWater:
    """The mark of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._started = False
        self.noticed_at: datetime | None = None
        """The result of the last check."""

    def check(self) -> datetime | None:
        """Compare the mark with the database, record a loss, and move the mark up.

        Returns the time (UTC) at which a worker noticed the last loss of the last week; None if there was none. Raises
        django.db's errors.
        """
        with self._lock:
            before = self._mark or dict.fromkeys(NAMES)
            at: datetime | None
            [(lost, at, *newest)] = rows(sql.HIGH_WATER, **before)
            self._mark = dict(zip(NAMES, newest, strict=True)) if newest[0] is not None else None
        if lost:
            log.critical("The database has lost commits", action="commits_lost", mark=before)
            [(at,)] = rows(sql.NOTICE_LOSS, mark=json.dumps(before))
        self.noticed_at = at
        return at

    def step(self) -> bool:
        """Check, and keep the mark in Redis. The first call begins with the mark that other workers left there."""
        if not self._started:
            self._mark = self._mark or _kept()
            self._started = True
        self.check()
        if self._mark is not None:
            _keep(self._mark)
        return False

    def forget(self) -> None:
        """Forget the mark, as in a new process."""
        self.__init__()  # type: ignore[misc]


high_water = HighWater()
"""The one of this process."""


@lru_cache(maxsize=1)
def _redis() -> "Redis | None":
    return impatient_client(settings.BROKER_URL, TIMEOUT) if is_redis(settings.BROKER_URL) else None


def _key() -> str:
    return f"relay-high-water:{connection.settings_dict['NAME']}"


def _kept() -> Mark | None:
    """Return the mark in Redis; None if there is none that can be read."""
    try:
        mark = json.loads(kept) if (redis := _redis()) and (kept := redis.get(_key())) else None
    except (RedisError, ValueError):
        return None
    return mark if isinstance(mark, dict) and set(mark) == set(NAMES) else None


def _keep(mark: Mark) -> None:
    """Write the mark to Redis. While Redis is away, workers that start have no mark."""
    try:
        if redis := _redis():
            redis.set(_key(), json.dumps(mark))
    except RedisError as error:
        log.debug("The high-water mark is not kept", action="mark_not_kept", error=type(error).__name__)
