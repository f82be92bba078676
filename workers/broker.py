"""Check of the broker, for `/readyz` and the dashboard."""

from functools import lru_cache
from typing import Any

import dramatiq
import redis
from django.conf import settings

from workers.foundation.broker_url import redis_client


def check_broker() -> dict[str, Any]:
    """Return `{"ok": True}` if the broker answers within two seconds, otherwise the error."""
    if not hasattr(dramatiq.get_broker(), "client"):
        return {"ok": True, "note": "only Redis is checked"}
    try:
        _probe().ping()
    except redis.RedisError as error:
        return {"ok": False, "error": type(error).__name__}
    return {"ok": True}


@lru_cache
def _probe() -> "redis.Redis":
    """Return a client that gives up sooner than the broker's own."""
    return redis_client(settings.BROKER_URL, socket_timeout=1, socket_connect_timeout=1)
