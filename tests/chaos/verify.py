"""Verify pass: compare accepted transactions with the provider, the database and the notifications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any

from sandbox.manners import DECLINE_REASON
from tests.chaos.facts import FINAL, Facts, Row

DECLINED, REFUSED = 402, 422
REASONS = {DECLINED: DECLINE_REASON, REFUSED: "the transaction is refused"}
"""Reasons that the provider gives, by the HTTP status of the create."""

Check = Callable[[Facts], Iterable[str]]
"""Return the differences: the client's id of a transaction, or a sentence."""


def verify(facts: Facts) -> dict[str, list[str]]:
    """Return the differences by the name of the figure. All lists are empty if every guarantee was kept."""
    return {name: sorted(set(check(facts))) for name, check in CHECKS.items()}


def _each(differs: Callable[[Facts, Row], bool]) -> Check:
    """Return a check that applies `differs` to each transaction."""
    return lambda facts: (ref for ref, row in facts.rows.items() if differs(facts, row))


def _unless_lost(check: Check) -> Check:
    """Return the check without transactions that the database lost: what was said of them before does not count."""
    return lambda facts: (ref for ref in check(facts) if ref not in facts.lost)


def _wrong_answers(facts: Facts) -> Iterator[str]:
    for one in facts.posted.values():
        yield from (f"{one.ref}: {answer}" for answer in one.wrong)


def _accepted_twice(facts: Facts) -> Iterator[str]:
    return (one.ref for one in facts.posted.values() if len(one.ours) > 1)


def _unanswered(facts: Facts) -> Iterator[str]:
    return (one.ref for one in facts.posted.values() if one.accepted_at is None)


def _lost(facts: Facts) -> Iterator[str]:
    for one in facts.posted.values():
        row = facts.rows.get(one.ref)
        if one.accepted_at is not None and (row is None or row.id not in one.ours):
            yield one.ref


def _is_wrong(facts: Facts, row: Row) -> bool:
    """Return True if the final status differs from the provider's. `failed` requires that the provider refused."""
    theirs = facts.theirs(row)
    if row.status not in FINAL:
        return False
    if row.status == "failed":
        return bool(theirs.get("created")) or REFUSED not in _codes(theirs)
    if theirs.get("status") is None or theirs["status"] == row.status:
        return False
    # A provider may report two final statuses: the first one that arrived is correct.
    return row.status not in {delivery["status"] for delivery in theirs["webhooks"]}


def _is_absent(facts: Facts, row: Row) -> bool:
    """Return True if the transaction is completed or declined, but the provider does not have it.

    A provider that declines a create by 402 need not have the transaction.
    """
    theirs = facts.theirs(row)
    if theirs.get("created") or row.status not in ("completed", "declined"):
        return False
    return row.status == "completed" or DECLINED not in _codes(theirs)


def _codes(theirs: Mapping[str, Any]) -> set[int]:
    """Return the HTTP statuses of the provider's answers to creates."""
    return {call["http"] for call in theirs.get("create_calls", [])}


def _has_no_reason(facts: Facts, row: Row) -> bool:
    """Return True if the provider gave a reason for the final status, and it is not stored."""
    given = [REASONS[code] for code in _codes(facts.theirs(row)) & REASONS.keys()]
    return row.status in ("declined", "failed") and not all(reason in row.failure_detail for reason in given)


def _created_twice(facts: Facts) -> Iterator[str]:
    twice = [row.ref for row in facts.rows.values() if facts.theirs(row).get("copies", 0) > 1]
    return iter(twice or ["somebody"] * facts.duplicate_creates)


def _has_moved(facts: Facts, row: Row) -> bool:
    """Return True if the timeline has a status after a final one."""
    statuses = [event.status for event in row.events if event.kind == "status"]
    return any(before in FINAL for before, _ in pairwise(statuses))


def _has_gaps(facts: Facts, row: Row) -> bool:
    """Return True unless the timeline has the sequences 1 … n and ends with the status of the transaction."""
    changes = [event for event in row.events if event.kind == "status"]
    counted = [event.sequence for event in changes] == list(range(1, row.sequence + 1))
    return not counted or changes[0].status != "pending" or changes[-1].status != row.status


def _is_not_notified(facts: Facts, row: Row) -> bool:
    return row.status in FINAL and (facts.told(row)["final"] is None or row.notified_sequence < row.sequence)


def _was_told_otherwise(facts: Facts, row: Row) -> bool:
    return facts.told(row)["final"] not in (None, row.status)


def _was_told(verdict: str) -> Check:
    def told(facts: Facts, row: Row) -> bool:
        return any(news["verdict"] == verdict for news in facts.told(row)["notifications"])

    return _each(told)


def _heard_pending_twice(facts: Facts, row: Row) -> bool:
    """Return True if `pending` arrived under two notification ids. A retry must keep its id."""
    news = facts.told(row)["notifications"]
    return len({one["webhook_id"] for one in news if one["status"] == "pending"}) > 1


def _was_told_again(facts: Facts, row: Row) -> bool:
    """Return True if a notification was repeated after an odd confirmation, and no kill explains it."""
    news = facts.told(row)["notifications"]
    for before, after in combinations(news, 2):
        confirmed = before.get("confirmation", "ok") != "ok" and before["webhook_id"] == after["webhook_id"]
        # A kill is recorded just before it happens, and the confirmation may come in between.
        if confirmed and not any(before["at"] - 1 <= kill <= after["at"] for kill in facts.kills):
            return True
    return False


def _has_job(state: str) -> Check:
    return _each(lambda facts, row: any(job.state == state and (state == "failed" or job.has_work) for job in row.jobs))


def _is_overlooked(facts: Facts, row: Row) -> bool:
    """Return True if a webhook contradicted the final status and the transaction is not flagged."""
    said = {delivery["status"] for delivery in facts.theirs(row).get("webhooks", []) if delivery["http"] == 204}
    contradicted = row.id in set(facts.forged) or (row.status in FINAL and said & FINAL - {row.status})
    flagged = row.review == "contradiction" and any(event.kind == "contradiction" for event in row.events)
    return bool(contradicted) and not flagged


def _is_unrecorded(facts: Facts, row: Row) -> bool:
    """Return True if a webhook was answered 204 but not recorded."""
    words = Counter(one["status"] for one in facts.theirs(row).get("webhooks", []) if one["http"] == 204)
    return any(row.recorded.get(word, 0) < times for word, times in words.items())


def _wrong_webhook_answers(facts: Facts) -> Iterator[str]:
    for row in facts.rows.values():
        for delivery in facts.theirs(row).get("webhooks", []):
            if delivery["http"] not in (None, 204, 503):
                yield f"{row.ref}: {delivery['http']}"


def _unexplained_leases(facts: Facts) -> Iterator[str]:
    """Yield the transactions with an expired lease, unless a kill or a database outage explains it."""
    refs = {row.id: row.ref for row in facts.rows.values()}
    for id_, since, until in facts.lost_leases:
        # A kill is recorded just before it happens, and a claim may come in between.
        if not any(since - 1 <= kill <= until for kill in facts.lease_kills):
            yield refs[id_]


CHECKS: dict[str, Check] = {
    "accepted, but not in the database": _lost,
    "never answered": _unanswered,
    "answered with an error that is no 503": _wrong_answers,
    "two transactions for one id": _accepted_twice,
    "not final": _each(lambda facts, row: row.status not in FINAL),
    "final, but flagged as stalled": _each(lambda facts, row: row.status in FINAL and row.review == "stalled"),
    "final, but not as the provider has it": _each(_is_wrong),
    "final, but never at the provider": _each(_is_absent),
    "declined or failed without the provider's reason": _each(_has_no_reason),
    "created twice": _created_twice,
    "moved after being final": _each(_has_moved),
    "gaps in the timeline": _each(_has_gaps),
    "final, but the client was not notified": _each(_is_not_notified),
    "the client was notified of another final status": _unless_lost(_each(_was_told_otherwise)),
    "two final statuses notified": _unless_lost(_was_told("conflicting")),
    "pending notified after the final status": _unless_lost(_was_told("stale")),
    "pending notified as two notifications": _unless_lost(_each(_heard_pending_twice)),
    "notified again after a confirmation": _unless_lost(_each(_was_told_again)),
    "notifications with a wrong signature": lambda facts: ["somebody"] * facts.bad_signatures,
    "jobs left waiting": _has_job("waiting"),
    "jobs failed": _has_job("failed"),
    "leases outstanding": _has_job("running"),
    "leases that expired without a kill": _unexplained_leases,
    "contradictions overlooked": _unless_lost(_each(_is_overlooked)),
    "webhooks answered 204, but not recorded": _unless_lost(_each(_is_unrecorded)),
    "webhooks answered neither 204 nor 503": _wrong_webhook_answers,
    "faults that did not proceed as planned": lambda facts: facts.complaints,
}
