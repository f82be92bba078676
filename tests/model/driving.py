"""What the machine's steps consist of: the service's own claim, load, run, settle and recover, each compared with the
reference; and the end, in which everything is mended and must come out right."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.auth.models import User
from django.db import transaction
from hypothesis.stateful import RuleBasedStateMachine

from tests.cast import Caller, Third
from tests.model.clock import Clock
from tests.model.outside import PROVIDER, Asked, Outside
from tests.model.reference import FINAL, Create, Transaction
from tests.model.stored import Stored, compare
from tests.running import change
from transactions.config import clear_caches
from transactions.models import Client
from workers import jobs, registry
from workers.jobs import Lost, Result
from workers.pace import Pacer
from workers.registry import Again, Claim, Failed, Outcome

WINDOW, RETRIES = 120.0, 1
"""Seconds of settle_window; create_retries."""
SETTINGS = {
    "settle_window": WINDOW, "create_retries": RETRIES, "create_retry_delay": 110.0, "second_poll": 5.0,
    "poll_growth": 6.0, "poll_cap": 600.0, "track_for": 60.0, "track_grace": 1e6, "base_url": PROVIDER,
}  # fmt: skip
PACER = cast(Pacer, None)
"""Never asked: the provider here has no limit of calls a second."""
MOMENT = 0.001
"""Seconds that a step takes."""
seen: Counter[str] = Counter()
"""What has happened in all runs of the machine: a model that never meets a contradiction proves nothing about them."""


@dataclass(eq=False)
class Run:
    """A claimed job in a worker's hands: loaded and started by one step, answered by others, settled by a last one."""

    claim: Claim
    machine: Any
    task: asyncio.Task[Result] | None = None
    last: tuple[Asked, str] | None = None
    """The last call that was answered, and the provider's word or the answer's code."""

    def owns_job(self) -> bool:
        job = self.machine.stored.jobs[self.claim.id]
        return bool(job.state == "running" and job.attempt == self.claim.attempt)

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()

    def result(self) -> Result:
        assert self.task is not None
        return self.task.result()


@dataclass
class Cast:
    """Who takes part in every example."""

    alice: Caller
    third: Third
    olga: User
    clock: Clock


class Driver(RuleBasedStateMachine):
    """One database transaction an example, rolled back at its end."""

    cast: Cast
    stopped = False
    """The provider is paused, or the endpoint disabled."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic._from_testcase = True  # type: ignore[attr-defined]  # durable blocks may be inside, as in a test
        self.atomic.__enter__()
        clear_caches()
        self.clock = self.cast.clock
        self.clock.begin()
        self.loop = self.clock.new_loop()
        self.outside = Outside(self.clock)
        self.runs: list[Run] = []
        self.refs: list[str] = []
        self.webhooks: set[str] = set()
        self.stored = Stored()
        self.sound = True

    @property
    def known(self) -> dict[str, Transaction]:
        return self.outside.known

    def claim(self, of_client: bool, most: int) -> list[Run]:
        lane = self.cast.alice.settings.lane if of_client else self.cast.third.settings.lane
        found = jobs.claim_lanes({lane: most}, registry.kinds())
        claims = [claim for lane_claim in found for claim in lane_claim.claims]
        assert len(claims) <= most
        for claim in claims:
            assert self.stored.jobs[claim.id].run_at <= self.clock.time(), "claimed before its time"
        return self.take(claims) if claims else []

    def take(self, claims: list[Claim]) -> list[Run]:
        for claim in claims:
            before = self.stored.jobs[claim.id]
            assert (before.state, before.attempt + 1) == ("waiting", claim.attempt)
        taken = [Run(claim, self) for claim in claims]
        self.runs += taken
        self.check("claims")
        return taken

    def start(self, run: Run) -> None:
        work = jobs.load([run.claim]).get(run.claim.id)
        run.task = self.loop.create_task(jobs.run(run.claim, work, self.outside, PACER))  # type: ignore[arg-type]
        self.outside.runs[run.task] = run
        self.go_on()
        seen["started"] += 1

    def reply(self, one: Asked, what: str) -> None:
        self.outside.reply(one, what)
        seen[f"{one.kind} answered {what}"] += 1
        self.go_on()

    def may_land(self) -> list[tuple[Transaction, Create]]:
        return [(of, one) for of in self.known.values() for one in of.may_land(self.clock.now())]

    def settle(self, runs: list[Run], result: Result | None = None) -> None:
        """Settle these in one batch. What a run learnt counts only where the job is still its own."""
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
        if any(run.last and run.last[1] in ("401", "410") for run in runs):
            clear_caches()
            self.stopped = True
        self.check("settled")
        if not owned:
            assert self.stored == before, "a run that had lost its lease has changed something"
            seen["settles of lost leases"] += 1
        for run, told in owned:
            job = self.stored.jobs[run.claim.id]
            assert job.state == _state_after(told)
            if isinstance(told, Outcome) and isinstance(told.next, Again) and job.kind != "track":  # that is hastened
                off = (job.run_at - self.clock.time()).total_seconds() - max(0.0, told.next.after)
                assert abs(off) < 0.1, "not due when its run said"

    def learn(self, run: Run, told: Result) -> None:
        """What the last answer to an owned run says."""
        of = self.known[str(run.claim.transaction_id)]
        if run.last is None or not isinstance(told, Outcome) or isinstance(told.next, Failed):
            return
        asked, word = run.last
        source = "create" if run.claim.kind == "create" else "poll"
        if asked.kind != "tell" and word in FINAL:
            of.hear(word, source)
        elif asked.kind == "create" and word == "422":
            of.hear("failed", source)
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
        """Its worker dies with it in hand."""
        self.drop(run)
        seen["runs that died"] += 1

    def recover(self) -> None:
        if before := self.stored.of("running"):
            now = self.clock.time()
            jobs.recover()
            self.check()
            for job in before:
                lost = self.stored.jobs[job.id].state != "running"
                assert lost is (job.lease_until < now), "recovered too early, or not at all"
                seen["leases that ended"] += lost

    def land(self, which: int, status: str) -> None:
        """A create that nobody heard of takes effect."""
        of, create = self.may_land()[which % len(self.may_land())]
        of.land(create, status)
        seen["creates that took effect late"] += 1

    def pause(self) -> None:
        """An operator pauses the provider."""
        change(self.cast.third, paused=True)
        self.stopped = True

    def mend(self) -> None:
        """An operator resumes the provider and enables the endpoint again."""
        if self.stopped:
            change(self.cast.third, paused=False)
            Client.objects.update(endpoint_disabled_at=None)
            self.stopped = False

    def go_on(self) -> None:
        """Let the runs go on until each waits for an answer."""

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
        """Everything is mended and answers as it should: every transaction gets its one true outcome, and the client
        hears of it, unless a job was given up and a person asked to look."""
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
            assert self.is_over(id_), f"it never came to an end: {self.known[id_]}, {self.stored.jobs_of(id_)}"
            self.check_outcome(id_)

    def until_next(self) -> float:
        """Seconds until the next job is due or the next lease ends."""
        now = self.clock.time()
        times = [job.lease_until or job.run_at for job in self.stored.of("waiting") + self.stored.of("running")]
        return min(((time - now).total_seconds() for time in times if time > now), default=0.0)

    def is_over(self, id_: str) -> bool:
        """It is final and told, or given up with a person asked to look, and nothing at the provider to be found."""
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
            assert of.status == of.copy, "not what the provider has"
        if facts.failure == "not_created":
            assert not of.copy
        if not of.final:
            assert facts.review


def _state_after(told: Result) -> str:
    if isinstance(told, Lost) or isinstance(told.next, Again):
        return "waiting"
    return "failed" if isinstance(told.next, Failed) else "done"
