"""System checks of the workers' settings."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from workers.foundation import descriptors
from workers.foundation.checks import Rule, register_rules
from workers.kinds import LEASE_MARGIN


@register_rules
def leases_and_limits() -> Iterator[Rule]:
    least = 2 * LEASE_MARGIN
    hint = f"Set it to at least {least:g} seconds; a run is cut off {LEASE_MARGIN:g} s before the lease ends"
    for number, name in enumerate(("CREATE_LEASE", "TRACK_LEASE", "NOTIFY_LEASE"), start=1):
        yield getattr(settings, name) < least, f"workers.E00{number}", f"{name} is too short", hint
    for number, name in enumerate(("MAX_CRASHES", "WORKER_CAPACITY", "NOTIFICATIONS_IN_FLIGHT"), start=4):
        yield getattr(settings, name) < 1, f"workers.E00{number}", f"{name} is less than 1", "Set a positive number"
    hint = "Set it to less than the time that your supervisor waits between SIGTERM and SIGKILL"
    outside = not 0 <= settings.WORKER_GRACE <= 600
    yield outside, "workers.E007", "WORKER_GRACE is not between 0 and 600 seconds", hint


@register
def open_files(**_: Any) -> list[CheckMessage]:
    """Warn if the limit on open files allows less than WORKER_CAPACITY."""
    limit = descriptors.reachable_limit()
    if (most := descriptors.runs_within(limit)) >= settings.WORKER_CAPACITY:
        return []
    message = (
        f"WORKER_CAPACITY is {settings.WORKER_CAPACITY}, but the limit of {limit} open files allows only {most} jobs"
    )
    needed = settings.WORKER_CAPACITY * descriptors.PER_RUN + descriptors.RESERVED
    hint = (
        f"Raise the hard limit (ulimit -Hn) to at least {needed}, or lower WORKER_CAPACITY; a worker runs {most} jobs"
    )
    return [Warning(message, hint=hint, id="workers.W001")]
