"""Commands: what a run of `create` or `track` asks for besides the facts that it observed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from providers.models import Provider
from transactions import sql
from workers.models import JobKind
from workers.outcomes import Wake


@dataclass(frozen=True, slots=True)
class PollSoon:
    """Resume the polling that waits for the create, in `after` seconds, if no create is running then."""

    after: float


@dataclass(frozen=True, slots=True)
class PauseProvider:
    """Pause the provider until an operator resumes it. `why` is a sentence for operators."""

    why: str


def poll_soon(commands: Sequence[tuple[UUID, PollSoon]]) -> list[Wake]:
    """Carry out `PollSoon` for these transactions; returns the lanes to wake.

    Call it in the database transaction of `store.apply`, once the jobs are settled.
    """
    if not commands:
        return []
    after = {str(id_): command.after for id_, command in commands}
    rows = json.dumps([{"id": id_, "after": seconds} for id_, seconds in after.items()])
    with connection.cursor() as cursor:
        cursor.execute(sql.POLL_SOON, {"commands": rows, "ids": list(after)})
        return [Wake(JobKind.TRACK, lane, max(seconds, 0.0)) for lane, seconds in cursor.fetchall()]


def pause_provider(provider_id: int, command: PauseProvider) -> None:
    """Carry out `PauseProvider`, unless the provider is paused already: what is due waits, nothing is lost."""
    Provider.objects.filter(pk=provider_id, paused=False).update(paused=True, paused_why=command.why[:255])
