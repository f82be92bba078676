"""News of a transaction, and the one way to apply it: whoever brings it, the same rules decide."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from transactions import sql
from transactions.models import Provider
from transactions.status import Review, Source, Status, Submission
from workers.registry import Wake


@dataclass(frozen=True, slots=True)
class News:
    """What was learnt of a transaction. Defaults say nothing new."""

    source: Source
    status: Status = Status.PENDING
    submission: Submission | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    review: Review | str = ""
    began_at: datetime | None = None
    """When the create that this is about began (UTC)."""
    failure_code: str = ""
    failure_detail: str = ""
    provider: int | None = None
    """Whose word this is: it counts for this provider's transactions only. None: for any."""
    hasten: float | None = None
    """The create has ended, or may have just now: polling that waits for it goes on after so many seconds."""
    pause_provider: str = ""
    """Why the provider must not be called any more, until an operator says so."""


def sighting(source: Source, status: Status, unmapped: str = "") -> News:
    """The news that the provider has the transaction, in some status; `unmapped` is a word of its that means none."""
    failed = status == Status.FAILED
    return News(
        source,
        status=status,
        submission=Submission.CREATED,
        review=Review.UNMAPPED if unmapped else "",
        detail={"word": unmapped} if unmapped else {},
        failure_code="failed_at_provider" if failed else "",
        failure_detail="the provider reports it as failed" if failed else "",
    )


@dataclass(frozen=True, slots=True)
class Applied:
    """What a piece of news did: it won (the status is final now), it contradicts, or it changed no status."""

    transaction_id: UUID
    won: bool
    contradicts: bool
    status_before: Status


def apply(news: Sequence[tuple[UUID, News]]) -> tuple[list[Applied], list[Wake]]:
    """Apply news in the current transaction; transactions that do not exist are left out of the answer.

    Several pieces of news of one transaction are applied in their order. Returns what each did and the lanes that
    have work now: announce them after the commit.
    """
    applied: list[Applied] = []
    wakes: set[Wake] = set()
    for batch in _one_a_transaction(news):
        rows = json.dumps([_row(id_, item) for id_, item in batch], default=str)
        with connection.cursor() as cursor:
            cursor.execute(sql.APPLY, {"news": rows})
            for id_, client, won, contradicts, before in cursor.fetchall():
                applied.append(Applied(id_, won, contradicts, Status(before)))
                if won:
                    wakes.add(Wake("notify", f"c{client}"))
    return applied, list(wakes)


def lock(ids: Collection[UUID]) -> None:
    """Lock these transactions, in the order of their ids, until the current database transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK, {"ids": [str(id_) for id_ in ids]})


def hasten(news: Sequence[tuple[UUID, News]]) -> list[Wake]:
    """Let polling go on where `News.hasten` asks for it and no create is under way; in the transaction of `apply`,
    and after the jobs have been settled. Returns the lanes to wake."""
    asked = {str(id_): item.hasten for id_, item in news if item.hasten is not None}
    if not asked:
        return []
    rows = json.dumps([{"id": id_, "after": after} for id_, after in asked.items()])
    with connection.cursor() as cursor:
        cursor.execute(sql.HASTEN, {"hasten": rows, "ids": list(asked)})
        return [Wake("track", lane, max(after, 0.0)) for lane, after in cursor.fetchall()]


def pause(provider_id: int, why: str) -> None:
    """Pause a provider that is not paused yet: nothing is called, nothing is lost, operators see why."""
    Provider.objects.filter(pk=provider_id, paused=False).update(paused=True, paused_why=why[:255])


def _one_a_transaction(news: Iterable[tuple[UUID, News]]) -> list[list[tuple[UUID, News]]]:
    batches: list[dict[UUID, News]] = []
    for id_, item in news:
        for batch in batches:
            if id_ not in batch:
                batch[id_] = item
                break
        else:
            batches.append({id_: item})
    return [list(batch.items()) for batch in batches]


def _row(id_: UUID, news: News) -> dict[str, Any]:
    return {
        "id": id_,
        "status": news.status,
        "submission": news.submission,
        "source": news.source,
        "detail": news.detail,
        "review": news.review,
        "began_at": news.began_at,
        "failure_code": news.failure_code,
        "failure_detail": news.failure_detail,
        "provider": news.provider,
    }
