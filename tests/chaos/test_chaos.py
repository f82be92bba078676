"""A short chaos run, and unit tests of the driver, because faults in it could hide differences."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.paths import CHECKOUT
from sandbox.behaviours import BEHAVIOURS
from sandbox.manners import DECLINE_REASON
from tests.chaos.facts import Event, Facts, Job, Row
from tests.chaos.faults import FAULTS
from tests.chaos.load import FORBIDDEN, NAMED, Posted, _references
from tests.chaos.mutations import MUTATIONS
from tests.chaos.recovery import Happened, Recovery, recoveries
from tests.chaos.run import Plan, run
from tests.chaos.schedule import draw_schedule
from tests.chaos.verify import verify

pytestmark = pytest.mark.slow

BOUNDED = Plan(
    seed=5,
    seconds=30,
    count=400,
    kinds=("workers-killed", "web-killed", "broker-flushed", "database-crashed", "provider-hangs"),
)
SPANS = {kind: fault.span for kind, fault in FAULTS.items()}


def test_a_short_run_finds_no_differences() -> None:
    found = run(BOUNDED, Console(highlight=False, width=160))

    assert {name: which for name, which in found.figures.items() if which} == {}, f"see {found.logs}"
    assert found.accepted == BOUNDED.count
    assert [one.fault.kind for one in found.recoveries] == [slot.kind for slot in BOUNDED.slots()]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_text_that_a_planted_bug_replaces_occurs_once_in_the_code(mutation: Any) -> None:
    for edit in mutation.edits:
        assert (Path(CHECKOUT) / edit.file).read_text().count(edit.old) == 1
        assert edit.new != edit.old


# --- the load


def test_every_named_behaviour_is_one_of_the_sandbox() -> None:
    assert set(NAMED) | set(FORBIDDEN) <= set(BEHAVIOURS)


@pytest.mark.parametrize("rate", [1.0, 13.3, 16.4])
def test_forbidden_transactions_are_more_than_a_minute_apart(rate: float) -> None:
    references = list(itertools.islice(_references(rate), int(600 * rate)))
    at = [number / rate for number, reference in enumerate(references) if reference.startswith("forbidden")]
    assert len(at) == 6
    assert all(after - before > 60 for before, after in itertools.pairwise(at))


def test_every_named_behaviour_gets_an_equal_share_of_half_of_the_load() -> None:
    found = Counter(reference.rpartition("-")[0] for reference in itertools.islice(_references(1000.0), 5200))
    assert {found[name] for name in NAMED} <= {99, 100}


# --- the schedule


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert draw_schedule(7, 240, SPANS) == draw_schedule(7, 240, SPANS)
    assert draw_schedule(7, 240, SPANS) != draw_schedule(8, 240, SPANS)


@pytest.mark.parametrize("seconds", [200, 290, 600])
def test_the_schedule_has_every_kind_of_fault_within_the_load(seconds: float) -> None:
    slots = draw_schedule(7, seconds, SPANS)
    assert {slot.kind for slot in slots} == set(FAULTS)
    assert all(slot.at + slot.lasts < seconds for slot in slots)


def test_the_schedule_rejects_too_little_time() -> None:
    with pytest.raises(ValueError, match="faults need at least"):
        draw_schedule(7, 60, SPANS)


# --- the recovery


def recovered(told: Sequence[float], limit: float = 30) -> Recovery:
    [one] = recoveries([Happened("web-killed", 10, 12)], told, offered=10, end=limit)
    return one


def evenly(since: float, until: float) -> list[float]:
    return [since + number / 10 for number in range(int((until - since) * 10))]


def test_recovery_takes_no_time_if_throughput_does_not_drop() -> None:
    assert recovered(evenly(0, 30)).after == 0


def test_recovery_time_runs_from_the_end_of_the_fault_to_enough_throughput() -> None:
    one = recovered(evenly(0, 10) + evenly(18, 30))
    assert one.after == pytest.approx(5.6, abs=0.2)  # 80 % of the window from 17.6 on
    assert not one.too_slow


def test_recovery_is_too_slow_if_throughput_does_not_return() -> None:
    assert recovered(evenly(0, 10)).too_slow


def test_recovery_is_undecided_if_the_next_fault_comes_too_soon() -> None:
    one = recovered(evenly(0, 10), limit=16)
    assert one.after is None
    assert not one.too_slow


# --- the verify pass

NEWS = {"webhook_id": "msg-1", "verdict": "new", "at": 1.0}
CONFIRMED = NEWS | {"status": "completed", "confirmation": "cut"}


def facts(row: Row | None, **more: Any) -> Facts:
    """Return facts about one transaction without differences, changed by the arguments."""
    posted = Posted("a", "sync-1", 0.0, accepted_at=0.1, ours={"id-a"}, posts=1)
    theirs = {"created": True, "status": "completed", "copies": 1, "create_calls": [{"http": 201}], "webhooks": []}
    told = {"final": "completed", "notifications": [NEWS | {"status": "completed"}]}
    given: dict[str, Any] = {
        "posted": {"a": posted},
        "rows": {row.ref: row} if row else {},
        "provider": {"id-a": theirs | more.pop("theirs", {})},
        "client": {"a": told | more.pop("told", {})},
        "duplicate_creates": 0,
        "bad_signatures": 0,
    }
    return Facts(**given | more)


def entry(status: str, sequence: int) -> Event:
    return Event("status", status, sequence, "create")


GOOD = Row("id-a", "a", "completed", 2, "", 2, "", [entry("pending", 1), entry("completed", 2)])
CALLED = {"webhooks": [{"status": "declined", "http": 204}]}


def job(state: str, kind: str = "track", due_in: float = 0.0) -> Job:
    return Job("id-a", kind, state, "", "p1", 1, 0, "", due_in, final=True)


def differing(found: Facts) -> set[str]:
    return {name for name, which in verify(found).items() if which}


def test_verify_finds_no_difference_in_consistent_facts() -> None:
    assert differing(facts(GOOD)) == set()


DIFFERENCES: dict[str, Facts] = {
    "accepted, but not in the database": facts(None),
    "not final": facts(replace(GOOD, status="pending", sequence=1, events=[entry("pending", 1)])),
    "final, but not as the provider has it": facts(GOOD, theirs={"status": "declined"}),
    "final, but never at the provider": facts(GOOD, theirs={"created": False, "status": None}),
    "final, but flagged as stalled": facts(replace(GOOD, review="stalled")),
    "declined or failed without the provider's reason": facts(
        replace(GOOD, status="declined", failure_detail="402"), theirs={"create_calls": [{"http": 402}]}
    ),
    "created twice": facts(GOOD, theirs={"copies": 2}),
    "moved after being final": facts(replace(GOOD, sequence=3, events=[*GOOD.events, entry("declined", 3)])),
    "gaps in the timeline": facts(replace(GOOD, events=GOOD.events[:1])),
    "final, but the client was not notified": facts(GOOD, told={"final": None}),
    "the client was notified of another final status": facts(GOOD, told={"final": "declined"}),
    "two final statuses notified": facts(
        GOOD, told={"notifications": [NEWS | {"status": "x", "verdict": "conflicting"}]}
    ),
    "pending notified after the final status": facts(
        GOOD, told={"notifications": [NEWS | {"status": "pending", "verdict": "stale"}]}
    ),
    "pending notified as two notifications": facts(
        GOOD, told={"notifications": [NEWS | {"status": "pending", "webhook_id": id_} for id_ in ("1", "2")]}
    ),
    "notified again after a confirmation": facts(GOOD, told={"notifications": [CONFIRMED, CONFIRMED | {"at": 9.0}]}),
    "jobs left waiting": facts(replace(GOOD, jobs=[job("waiting")])),
    "jobs failed": facts(replace(GOOD, jobs=[job("failed")])),
    "leases outstanding": facts(replace(GOOD, jobs=[job("running")])),
    "leases that expired without a kill": facts(GOOD, lost_leases=[("id-a", 10, 30)], lease_kills=[5, 40]),
    "contradictions overlooked": facts(replace(GOOD, recorded={"declined": 1}), theirs=CALLED),
    "webhooks answered 204, but not recorded": facts(GOOD, theirs=CALLED),
    "webhooks answered neither 204 nor 503": facts(GOOD, theirs={"webhooks": [{"status": "x", "http": 500}]}),
}


@pytest.mark.parametrize("figure", DIFFERENCES)
def test_verify_counts_each_difference(figure: str) -> None:
    assert figure in differing(DIFFERENCES[figure])


def test_verify_accepts_failed_only_if_the_provider_refused() -> None:
    failed = replace(GOOD, status="failed", events=[entry("pending", 1), entry("failed", 2)])
    absent = {"created": False, "status": None, "copies": 0}
    assert "final, but not as the provider has it" in differing(facts(failed, theirs=absent))
    failed = replace(failed, failure_detail="422: the transaction is refused")
    refused = facts(failed, theirs=absent | {"create_calls": [{"http": 422}]}, told={"final": "failed"})
    assert differing(refused) == set()


@pytest.mark.parametrize(
    ("status", "code", "accepted"), [("declined", 402, True), ("completed", 402, False), ("declined", 201, False)]
)
def test_verify_accepts_declined_without_a_copy_only_after_402(status: str, code: int, accepted: bool) -> None:
    row = replace(GOOD, status=status, failure_detail=DECLINE_REASON, events=[entry("pending", 1), entry(status, 2)])
    theirs = {"created": False, "status": None, "copies": 0, "create_calls": [{"http": code}]}
    assert (differing(facts(row, theirs=theirs, told={"final": status})) == set()) is accepted


@pytest.mark.parametrize(("kill", "differs"), [(0.5, False), (5.0, False), (10.0, True)])
def test_a_confirmed_notification_may_be_repeated_after_a_kill(kill: float, differs: bool) -> None:
    repeated = facts(GOOD, told={"notifications": [CONFIRMED, CONFIRMED | {"at": 9.0}]}, kills=[kill])
    assert ("notified again after a confirmation" in differing(repeated)) is differs


def test_a_future_poll_of_a_final_transaction_does_not_count_as_waiting() -> None:
    assert differing(facts(replace(GOOD, jobs=[job("waiting", due_in=600)]))) == set()
    assert differing(facts(replace(GOOD, jobs=[job("waiting", "notify", 600)]))) == {"jobs left waiting"}


def test_a_lease_may_expire_after_a_kill() -> None:
    assert differing(facts(GOOD, lost_leases=[("id-a", 10, 30)], lease_kills=[12])) == set()
