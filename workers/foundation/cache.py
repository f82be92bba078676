"""Cache of settings that the hot path reads: `@cached(settings_cache(), lock=Lock())`."""

from typing import Any

from cachetools import TTLCache

MAX_AGE = 2.0
"""Seconds for which a value is cached: a revoked key is refused after that."""
MAX_VALUES = 10_000
"""Upper bound for the values in one cache."""


def settings_cache() -> TTLCache[Any, Any]:
    """Return a new cache. It keeps None as well; the function's lock is not held while the database is read."""
    return TTLCache(MAX_VALUES, MAX_AGE)
