"""System checks on the workers' settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from workers.kinds import LEASE_MARGIN


@register
def check_workers(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for number, name in enumerate(("CREATE_LEASE", "TRACK_LEASE", "NOTIFY_LEASE"), start=1):
        if getattr(settings, name) < 2 * LEASE_MARGIN:
            hint = f"Give it at least {2 * LEASE_MARGIN:g} seconds; a run is cut off {LEASE_MARGIN:g} s before its end"
            found.append(Error(f"{name} is too short", hint=hint, id=f"workers.E00{number}"))
    for number, name in enumerate(("MAX_CRASHES", "WORKER_CAPACITY", "NOTIFICATIONS_IN_FLIGHT"), start=4):
        if getattr(settings, name) < 1:
            found.append(Error(f"{name} is less than 1", hint="Give a positive number", id=f"workers.E00{number}"))
    if not 0 <= settings.WORKER_GRACE <= 600:
        hint = "Less than what your supervisor waits between SIGTERM and SIGKILL"
        found.append(Error("WORKER_GRACE is not between 0 and 600 seconds", hint=hint, id="workers.E007"))
    return found
