"""Counts of refused webhooks, kept in memory and written in the background.

Strangers cause them. A request that is refused therefore waits for no commit, and all of them together cost one
statement a second. The counts lag by about a second; a process that is killed loses those that it has not written.
"""

import threading
from collections import Counter
from typing import Any

from django.db import connection

from providers.models import Provider
from webhooks import sql
from workers.foundation.database import retry_once
from workers.periodic import PeriodicThread

_counts: Counter[tuple[int | None, str]] = Counter()
"""Counts to write, by the provider's number and the reason. The keys are few: strangers choose neither."""
_lock = threading.Lock()


def count_refusal(provider: Provider | None, reason: str) -> None:
    """Count a refused webhook, of which nothing else is stored. `provider` is None if it is unknown."""
    with _lock:
        _counts[provider.pk if provider else None, reason] += 1


def write_counts() -> None:
    """Add the counts to those in the database. If that fails, they stay in memory; raises the errors of django.db."""
    with _lock:
        taken = sorted(_counts.items(), key=str)
        _counts.clear()
    if not taken:
        return
    rows: dict[str, Any] = {
        "providers": [provider for (provider, _), _ in taken],
        "reasons": [reason for (_, reason), _ in taken],
        "counts": [count for _, count in taken],
    }

    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.REFUSED, rows)

    try:
        retry_once(write)
    except BaseException:
        with _lock:
            _counts.update(dict(taken))
        raise


def forget_counts() -> None:
    """Drop the counts that are not written."""
    with _lock:
        _counts.clear()


def writer() -> PeriodicThread:
    """Return a thread that writes the counts every second, and once more when it is stopped."""
    return PeriodicThread("refusals", write_counts, last=True)
