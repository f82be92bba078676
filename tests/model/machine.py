"""State machine that runs the service's own code in any order against PostgreSQL.

After every step it compares the database with the reference. The clock, the provider and the client are simulated; see
`clock` and `outside`.
"""

import json
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from operators.actions.jobs import FINAL_ALREADY
from operators.actions.table import ACTIONS
from tests.cast import accepted
from tests.model.driving import WINDOW, Driver
from tests.model.outside import ANSWERS
from tests.model.reference import FINAL, Transaction
from tests.running import change
from transactions.notifications import notify_again
from transactions.store import find
from webhooks.incoming.authentication import Sender
from webhooks.incoming.services import receive
from workers import jobs
from workers.models import Job
from workers.outcomes import NoResult

choice = st.integers(0, 1000)
BAD_DAY = (*ANSWERS, *["504", "dropped", "stale"] * 6, *["page", "empty", "403"] * 2)
WEIGHTS = {"work": 6, "tell": 2, "stall": 2, "settle": 2, "claim": 4, "hand back": 2, "land": 1, "staff": 1}
some_answers = st.lists(st.sampled_from(ANSWERS), min_size=4, max_size=4)


class StatusRules(Driver):
    """State machine. Each rule is one event that may happen at any time."""

    @initialize(look_first=st.booleans(), seed=st.integers(0, 2**32))
    def begin(self, look_first: bool, seed: int) -> None:
        self.chance = Random(seed)
        change(self.cast.third, check_before_create=look_first)
        self.accept()

    @precondition(lambda self: len(self.known) < 3)
    @rule()
    def accept(self) -> None:
        record = accepted(self.cast.alice, self.cast.third)
        self.known[str(record.id)] = Transaction(WINDOW)
        self.refs.append(record.client_ref)
        self.check("accepted")

    @rule(of_client=st.booleans(), most=st.integers(1, 4))
    def claim_some(self, of_client: bool, most: int) -> None:
        self.claim(of_client, most)

    @precondition(lambda self: self.stored.of("waiting"))
    @rule(which=choice)
    def claim_by_name(self, which: int) -> None:
        waiting = self.stored.of("waiting")
        claim = jobs.claim_one(Job.objects.get(pk=waiting[which % len(waiting)].id))
        if claim is not None:
            self.take([claim])

    @precondition(lambda self: any(run.task is None for run in self.runs))
    @rule(which=choice)
    def start_one(self, which: int) -> None:
        unstarted = [run for run in self.runs if run.task is None]
        self.start(unstarted[which % len(unstarted)])

    @precondition(lambda self: self.outside.asked)
    @rule(which=choice, what=st.sampled_from(ANSWERS))
    def answer(self, which: int, what: str) -> None:
        self.reply(self.outside.asked[which % len(self.outside.asked)], what)

    @precondition(lambda self: any(run.ended for run in self.runs))
    @rule(which=choice, most=st.sampled_from([1, 2, 9]))
    def settle_some(self, which: int, most: int) -> None:
        ended = [run for run in self.runs if run.ended]
        first = which % len(ended)
        self.settle((ended[first:] + ended[:first])[:most])

    @precondition(lambda self: self.runs)
    @rule(which=choice)
    def hand_back(self, which: int) -> None:
        run = self.runs[which % len(self.runs)]
        if not run.ended:
            self.settle([run], NoResult("handed back", begun=run.task is not None))

    @precondition(lambda self: self.runs)
    @rule(which=choice)
    def die(self, which: int) -> None:
        self.kill(self.runs[which % len(self.runs)])

    @rule(of_client=st.booleans(), answers=some_answers, slow=st.sampled_from([0.0, 0.0, 14.0]))
    def work(self, of_client: bool, answers: list[str], slow: float) -> None:
        """Process the due jobs, as a worker does most of the time. Each answer takes `slow` seconds."""
        mine = self.claim(of_client, 4)
        for run in mine:
            self.start(run)
        for what in answers:
            self.clock.skip(slow)
            for one in [one for one in self.outside.asked if one.run in mine]:
                self.reply(one, what)
        if done := [run for run in mine if run.ended]:
            self.settle(done)

    @rule(answers=some_answers, slow=st.sampled_from([0.0, 0.0, 14.0]))
    def wait_and_work(self, answers: list[str], slow: float) -> None:
        """Wait until a job is due, then process the due jobs."""
        self.clock.skip(self.until_next() + 0.001)
        self.recover()
        self.work(False, answers, slow)

    @precondition(lambda self: self.may_land())
    @rule(which=choice, status=st.sampled_from((*FINAL, "pending")))
    def land_late(self, which: int, status: str) -> None:
        self.land(which, status)

    @rule(which=choice, word=st.sampled_from((*FINAL, "pending", "odd")), number=st.integers(1, 12))
    def webhook(self, which: int, word: str, number: int) -> None:
        """Send an authentic webhook: true or false, new or repeated, before or after the answer to the create."""
        id_, of = list(self.known.items())[which % len(self.known)]
        if word not in FINAL and not of.copy:
            return  # it would report a transaction that the provider does not have; the correct result is undefined
        of.confirmed = True
        told = receive(
            self.cast.third.settings, Sender(f"msg_{number}"), json.dumps({"id": id_, "status": word}).encode()
        )
        new = f"msg_{number}" not in self.webhooks
        self.webhooks.add(f"msg_{number}")
        assert told == (of.hear(word, "webhook") if new else "repeated")
        self.check(f"webhooks {told}")

    @rule(seconds=st.sampled_from([0.3, 5.0, 20.0, 40.0, 65.0, 119.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.clock.skip(seconds)
        self.go_on()
        self.check()

    @precondition(lambda self: self.stored.of("running"))
    @rule(seconds=st.sampled_from([0.0, 26.0, 61.0]))
    def lose_leases(self, seconds: float) -> None:
        """Let workers stall so that others take over their jobs. A stalled worker may still settle its runs later."""
        self.clock.skip(seconds)
        self.recover()

    @rule(which=choice)
    def notify_again(self, which: int) -> None:
        record = find(client_id=self.cast.alice.client.pk, client_ref=self.refs[which % len(self.refs)])
        assert record is not None
        notify_again(record)
        self.check("told again")

    @precondition(lambda self: self.stored.of("failed"))
    @rule(which=choice)
    def retry(self, which: int) -> None:
        failed = self.stored.of("failed")
        job = failed[which % len(failed)]
        why_not = ACTIONS["retry"].run(pk=job.id, by=self.cast.olga, reason="again")
        of = self.known[job.transaction]
        if job.kind != "notify" and of.final:
            assert why_not == FINAL_ALREADY
        self.check(f"retries: {why_not or 'done'}")
        assert (self.stored.jobs[job.id].state == "waiting") is (why_not == "")

    @rule(paused=st.booleans())
    def pause_or_mend(self, paused: bool) -> None:
        self.pause() if paused else self.mend()

    def bad_day(self, chance: Random) -> None:
        """Make rare states likely: many creates without a response, and stalled workers."""
        self.accept()
        for _ in range(24):
            which, most = chance.randrange(1000), chance.choice((1, 2, 9))
            slow, answers = chance.choice((0.0, 14.0)), chance.choices(BAD_DAY, k=4)
            match chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]:
                case "work":
                    self.wait_and_work(answers, slow)
                case "tell":
                    self.work(True, answers, slow)
                case "stall" if self.runs:
                    self.lose_leases(61.0)
                    self.go_on()
                    self.work_beside(answers)
                case "settle" if any(run.ended for run in self.runs):
                    self.settle_some(which, most)
                case "claim":
                    for run in self.claim(False, most):
                        self.start(run)
                    self.clock.skip(slow)
                    for one in list(self.outside.asked):
                        if one.kind == "look":
                            self.reply(one, answers[0])
                case "hand back" if asked := self.outside.asked:
                    self.hand_back(self.runs.index(asked[which % len(asked)].run))
                case "land" if self.may_land():
                    self.land(which, chance.choice(FINAL))
                case "staff":
                    self.mend()
                    if which % 2 and self.stored.of("failed"):
                        self.retry(which)

    def work_beside(self, answers: list[str]) -> None:
        """Let a worker claim a job again whose lease it lost, and settle both runs in one batch."""
        for run in self.claim(False, 4):
            self.start(run)
        for what in answers:
            for one in list(self.outside.asked):
                self.reply(one, what)
        if any(run.ended for run in self.runs):
            self.settle_some(0, 9)

    def teardown(self) -> None:
        try:
            if self.sound and self.known:
                self.bad_day(self.chance)
                self.come_to_an_end()
                for number in reversed(range(len(self.stored.of("failed")))):
                    self.retry(number)
        finally:
            self.close()
