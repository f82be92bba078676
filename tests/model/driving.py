"""Parts of the machine's steps: the service's own claim, load, run, settle and recover, compared with the reference.

At the end of an example all outages are repaired, and every transaction must reach its correct outcome.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from hypothesis.stateful import RuleBasedStateMachine

from clients.models import Client
from providers.models import Provider
from tests.cast import Caller, Third, clear_caches
from tests.model.clock import Clock
from tests.model.outside import PROVIDER, REFUSALS, UNUSABLE, Asked, Outside
from tests.model.reference import FINAL, Create, Transaction, may_pause
from tests.model.stored import Stored, compare
from tests.running import change
from workers import jobs, kinds
from workers.jobs import Result
from workers.outcomes import Again, Claim, Failed, NoResult, Outcome

WINDOW, RETRIES = 120.0, 1
"""Seconds of settle_window; create_retries."""
SETTINGS = {
    "settle_window": WINDOW, "create_retries": RETRIES, "create_retry_delay": 110.0, "second_poll": 5.0,
    "poll_growth": 6.0, "poll_cap": 600.0, "track_for": 60.0, "track_grace": 1e6, "base_url": PROVIDER,
}  # fmt: skip
MOMENT = 0.001
"""Duration of a step in seconds."""
seen: Counter[str] = Counter()
"""Number of events by kind in all runs. The test checks that the rare events occurred."""


@dataclass(eq=False)
class Run:
    """Run of a claimed job. Separate steps start it, answer its calls, and settle it."""

    claim: Claim
    machine: Any
    task: asyncio.Task[Result] | None = None
    last: tuple[Asked, str] | None = None
    """The last answered call, with the provider's status or the status code of the answer."""
    review: str = ""
    """Review flag of the transaction when the run started."""
    went_on: bool = False
    """The run went on to the first create after a status check that proved nothing."""

    def owns_job(self) -> bool:
        job = self.machine.stored.jobs[self.claim.id]
        return bool(job.state == "running" and job.claim_token == self.claim.token)

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()

    def result(self) -> Result:
        assert self.task is not None
        return self.task.result()


@dataclass
class Cast:
    """Client, provider, operator and clock of an example."""

    alice: Caller
    third: Third
    olga: User
    clock: Clock


class Driver(RuleBasedStateMachine):
    """State machine base class. Each example is one database transaction, which is rolled back at the end."""

    cast: Cast
    stopped = False
    """The provider is paused, or the endpoint disabled."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic._from_testcase = True  # type: ignore[attr-defined]  # allow durable blocks inside, as in a Django test
        self.atomic.__enter__()
        clear_caches()
        self.clock = self.cast.clock
        self.clock.begin()
        self.loop = self.clock.new_loop()
        self.outside = Outside(self.clock)
        self.runs: list[Run] = []
        self.refs: list[str] = []
        self.webhooks: set[str] = set()
        self.denied: list[tuple[float, str]] = []
        """Times of the settles of runs that were answered 403, with our ids."""
        self.stored = Stored()
        self.sound = True

    @property
    def known(self) -> dict[str, Transaction]:
        return self.outside.known

    def claim(self, of_client: bool, most: int) -> list[Run]:
        lane = self.cast.alice.settings.lane if of_client else self.cast.third.settings.lane
        found = jobs.claim_lanes({lane: most}, kinds.all_kinds())
        claims = [claim for lane_claim in found for claim in lane_claim.claims]
        assert len(claims) <= most
        for claim in claims:
            assert self.stored.jobs[claim.id].run_at <= self.clock.time(), "claimed before its time"
        return self.take(claims) if claims else []

    def take(self, claims: list[Claim]) -> list[Run]:
        for claim in claims:
            before = self.stored.jobs[claim.id]
            assert (before.state, before.claim_count + 1) == ("waiting", claim.claim_count)
        taken = [Run(claim, self) for claim in claims]
        self.runs += taken
        self.check("claims")
        return taken

    def start(self, run: Run) -> None:
        work = jobs.load([run.claim]).get(run.claim.id)
        run.review = self.stored.transactions[str(run.claim.transaction_id)].review
        run.task = self.loop.create_task(jobs.run(run.claim, work, self.outside))  # type: ignore[arg-type]
        self.outside.runs[run.task] = run
        self.go_on()
        seen["started"] += 1

    def reply(self, one: Asked, what: str) -> None:
        self.outside.reply(one, what)
        seen[f"{one.kind} answered {what}"] += 1
        at_once = what in UNUSABLE and self.is_first_check(one)
        self.go_on()
        if at_once:
            self.check_goes_on(one.run)

    def is_first_check(self, one: Asked) -> bool:
        """Return True for the status check before a first create. A lost run counts as a create that was sent."""
        claim = one.run.claim
        if (one.kind, claim.kind) != ("look", "create") or claim.lost_at is not None or one.of.creates:
            return False
        return self.stored.transactions[str(claim.transaction_id)].submission == "unsent"

    def check_goes_on(self, run: Run) -> None:
        """Assert that a run sends its first create although its status check proved nothing."""
        run.went_on = True
        if run.ended:
            told = run.result()
            assert isinstance(told, Outcome) and isinstance(told.next, Again), "the first create was held up"
            assert told.next.why.startswith("too late in its lease"), f"the first create was held up: {told.next.why}"
            return
        assert any(one.run is run and one.kind == "create" for one in self.outside.asked)
        seen["creates after a check that proved nothing"] += 1

    def may_land(self) -> list[tuple[Transaction, Create]]:
        return [(of, one) for of in self.known.values() for one in of.may_land(self.clock.now())]

    def settle(self, runs: list[Run], result: Result | None = None) -> None:
        """Settle these runs in one batch. The result of a run counts only if it still owns its job."""
        for run in [run for run in runs if not run.ended]:
            self.drop(run)
        batch = [(run, result or run.result()) for run in runs]
        owned = [(run, told) for run, told in batch if run.owns_job()]
        before = self.stored
        jobs.settle([(run.claim, told) for run, told in batch])
        kinds = list(dict.fromkeys(run.claim.kind for run, _ in owned))
        for run, told in sorted(owned, key=lambda one: kinds.index(one[0].claim.kind)):
            self.learn(run, told)
        self.runs = [run for run in self.runs if run not in runs]
        self.note_stops(runs, [run for run, _ in owned])
        self.check("settled")
        self.check_flags([run for run, told in owned if isinstance(told, Outcome)])
        if not owned:
            assert self.stored == before, "a run without a lease changed the database"
            seen["settles of lost leases"] += 1
        for run, told in owned:
            job = self.stored.jobs[run.claim.id]
            assert job.state == _state_after(told)
            if isinstance(told, Outcome) and isinstance(told.next, Again) and job.kind != "track":  # those are hastened
                off = (job.run_at - self.clock.time()).total_seconds() - max(0.0, told.next.after)
                assert abs(off) < 0.1, "not due at the time that its run set"

    def note_stops(self, runs: list[Run], owned: list[Run]) -> None:
        """Note a paused provider and a disabled endpoint. 403 may pause only after two transactions got it."""
        self.denied += [
            (self.clock.now(), str(run.claim.transaction_id))
            for run in owned
            if run.last and run.last[0].kind != "tell" and run.last[1] == "403"
        ]
        if any(run.last and run.last[1] in ("401", "410") for run in runs):
            clear_caches()
            self.stopped = True
        elif not self.stopped and Provider.objects.filter(paused=True).exists():
            assert may_pause(self.denied), "paused by 403 for one transaction"
            seen["providers paused by 403"] += 1
            clear_caches()
            self.stopped = True

    def check_flags(self, settled: list[Run]) -> None:
        """Assert that a transaction is flagged whose answers cannot be used, or that the provider denies."""
        times = Counter(str(run.claim.transaction_id) for run in settled)
        for run in settled:
            id_ = str(run.claim.transaction_id)
            if run.last is None or self.known[id_].final or times[id_] > 1 or run.review or run.went_on:
                continue
            asked, word = run.last
            if (asked.kind == "look" and word in UNUSABLE) or (asked.kind != "tell" and word == "403"):
                assert self.stored.transactions[id_].review, f"{asked.kind} answered {word}, and not flagged"
                seen[f"flagged after {word}"] += 1

    def learn(self, run: Run, told: Result) -> None:
        """Update the reference with the last answer to a run that owns its job."""
        of = self.known[str(run.claim.transaction_id)]
        if run.last is None or not isinstance(told, Outcome) or isinstance(told.next, Failed):
            return
        asked, word = run.last
        source = "create" if run.claim.kind == "create" else "poll"
        if asked.kind != "tell" and word in FINAL:
            of.hear(word, source)
        elif asked.kind == "create" and word in REFUSALS:
            of.hear("failed", source)
        elif asked.kind == "create" and word == "402":
            of.hear("declined", source)
        elif asked.kind == "look" and word == "404" and run.claim.kind == "create" and not of.final:
            row = Stored.read().transactions[str(run.claim.transaction_id)]
            if row.failure == "not_created":
                assert of.proves_absence(asked.at, RETRIES), "failed without a proof of absence"
                of.hear("failed", "clock")

    def drop(self, run: Run) -> None:
        if run.task is not None and not run.task.done():
            run.task.cancel()
            self.go_on()
        if run in self.runs:
            self.runs.remove(run)

    def kill(self, run: Run) -> None:
        """Drop a run as if its worker died."""
        self.drop(run)
        seen["runs that died"] += 1

    def recover(self) -> None:
        if before := self.stored.of("running"):
            now = self.clock.time()
            jobs.recover()
            self.check()
            for job in before:
                lost = self.stored.jobs[job.id].state != "running"
                assert lost is (job.lease_until < now), "recovered before its lease expired, or not recovered"
                seen["leases that ended"] += lost

    def land(self, which: int, status: str) -> None:
        """Let a create without a response take effect at the provider."""
        of, create = self.may_land()[which % len(self.may_land())]
        of.land(create, status)
        seen["creates that took effect late"] += 1

    def pause(self) -> None:
        """Pause the provider, as an operator does."""
        change(self.cast.third, paused=True)
        self.stopped = True

    def mend(self) -> None:
        """Resume the provider and enable the endpoint, as an operator does."""
        if self.stopped:
            change(self.cast.third, paused=False)
            Client.objects.update(endpoint_disabled_at=None)
            self.stopped = False

    def go_on(self) -> None:
        """Let the runs continue until each waits for an answer."""

        async def idle() -> None:
            for _ in range(6):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())

    def check(self, what: str = "") -> None:
        self.sound = False
        if what:
            seen[what] += 1
        self.clock.skip(MOMENT)
        before, self.stored = self.stored, Stored.read()
        for id_, of in self.known.items():
            compare(id_, of, before, self.stored)
        self.sound = True

    # --- the end

    def close(self) -> None:
        for run in list(self.runs):
            self.drop(run)
        self.loop.close()
        transaction.set_rollback(True)
        with suppress(transaction.TransactionManagementError):
            self.atomic.__exit__(None, None, None)

    def come_to_an_end(self) -> None:
        """Repair all outages and finish all work.

        Every transaction must get its correct outcome, and its client a notification, unless a job failed and the
        transaction is flagged for review.
        """
        for run in list(self.runs):
            self.kill(run)
        self.mend()
        for _ in range(400):
            self.recover()
            mine = [run for of_client in (False, True) for run in self.claim(of_client, 4)]
            for run in mine:
                self.start(run)
            while self.outside.asked:
                self.reply(self.outside.asked[0], "completed")
            if mine:
                self.settle(mine)
            elif all(self.is_over(id_) for id_ in self.known):
                break
            else:
                self.clock.skip(self.until_next() + MOMENT)
        for id_ in self.known:
            assert self.is_over(id_), f"it did not finish: {self.known[id_]}, {self.stored.jobs_of(id_)}"
            self.check_outcome(id_)

    def until_next(self) -> float:
        """Return the seconds until the next job is due or the next lease expires."""
        now = self.clock.time()
        times = [job.lease_until or job.run_at for job in self.stored.of("waiting") + self.stored.of("running")]
        return min(((time - now).total_seconds() for time in times if time > now), default=0.0)

    def is_over(self, id_: str) -> bool:
        """Return True if it is final and notified, or if a job failed and polling cannot find an outcome."""
        of, jobs_ = self.known[id_], self.stored.jobs_of(id_)
        given_up = any(job.state == "failed" and job.kind != "notify" for job in jobs_)
        if not of.final:
            tracked = any(job.kind == "track" and job.state == "waiting" for job in jobs_)
            return given_up and not (of.copy and tracked)
        return of.sequence in of.heard or any(job.state == "failed" and job.kind == "notify" for job in jobs_)

    def check_outcome(self, id_: str) -> None:
        of, facts = self.known[id_], self.stored.transactions[id_]
        seen[f"ended {of.status} {facts.failure}".strip()] += 1
        seen[f"flagged {facts.review or 'nothing'}"] += 1
        if of.copy and of.words <= {of.copy} and of.final:
            assert of.status == of.copy, "its status differs from the provider's"
        if facts.failure == "not_created":
            assert not of.copy
        if not of.final:
            assert facts.review


def _state_after(told: Result) -> str:
    if isinstance(told, NoResult) or isinstance(told.next, Again):
        return "waiting"
    return "failed" if isinstance(told.next, Failed) else "done"
