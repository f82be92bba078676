"""One chaos run: start a stack, apply load and faults, wait for quiet, and compare the results."""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg2
from rich.console import Console

from devstack.paths import DATA, make_folder
from devstack.ports import free_port
from devstack.stack import Stack
from devstack.stores import Stores, temporary_stores
from tests.chaos.facts import Facts, read_facts, read_jobs
from tests.chaos.faults import FAULTS, Scene, enable_endpoints, resume_providers
from tests.chaos.load import Load
from tests.chaos.recovery import Happened, Recovery, recoveries, told_at
from tests.chaos.schedule import Slot, draw_schedule
from tests.chaos.verify import verify
from tests.clock_shim import install

SERVICE = {
    # As short as the sandbox's faster clock allows, because jobs of a killed worker resume when their leases expire.
    # The lease of a create is its timeout of 3 s and the 18 s of the status check before it. The other leases are the
    # longest call and the margin.
    "CREATE_LEASE": "21",
    "TRACK_LEASE": "18",
    "NOTIFY_LEASE": "18",
    "WORKER_GRACE": "1",  # so that a worker that stops has jobs to hand back
}
LONGEST_STORY = 30 + 20 + 120
"""Unscaled seconds from a create to the last webhook of the sandbox's longest behaviour."""
PARKED = 10.0
"""Seconds. A notification that waits longer has failed twice because of an outage of its endpoint."""
COUNTS = """
SELECT count(*) FILTER (WHERE status <> 'pending'),
       count(*) FILTER (WHERE status <> 'pending' AND notified_sequence = sequence)
FROM transactions_transaction
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of a run. `settling`: longest wait in seconds for quiet after the load."""

    seed: int
    seconds: float
    count: int
    speed: float = 20
    settling: float = 180
    kinds: tuple[str, ...] = tuple(FAULTS)

    def slots(self) -> Sequence[Slot]:
        """Return the schedule of the faults. Raise ValueError if the time is too short."""
        return draw_schedule(self.seed, self.seconds, {kind: FAULTS[kind].span for kind in self.kinds})


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a run. `logs`: folder of its files, deleted after a run without differences."""

    figures: Mapping[str, list[str]]
    recoveries: Sequence[Recovery]
    began: float
    accepted: int
    repeated: int
    logs: Path | None = None

    @property
    def good(self) -> bool:
        return not any(self.figures.values()) and not any(one.too_slow for one in self.recoveries)


def run(plan: Plan, console: Console) -> Found:
    """Execute the plan on the main thread. Raise StackError if the stack does not start."""
    slots = plan.slots()
    make_folder(DATA)
    home = Path(tempfile.mkdtemp(prefix="chaos-", dir=DATA))
    home.chmod(0o755)
    keep = True
    try:
        with _stack(plan, home) as scene:
            driver = _Driver(plan, scene, console)
            found = driver.carry_out(slots, home)
        keep = not found.good
        return found
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _stack(plan: Plan, home: Path) -> Iterator[Scene]:
    with temporary_stores() as stores:
        stack = Stack(
            home,
            database_url=stores.database_url,
            broker_url=stores.broker_url,
            port=free_port(),
            sandbox_port=free_port(),
            speed=plan.speed,
            variables=SERVICE,
        )
        if any(kind.startswith("clock-") for kind in plan.kinds):
            install(stores.database_url)  # before the tables, so that their defaults use its functions
        stack.prepare()
        stack.start()
        try:
            stack.add_worker()
            yield Scene(stack, stores)
        finally:
            stack.stop()
            _keep_logs(stores, stack.logs)


def _keep_logs(stores: Stores, logs: Path) -> None:
    """Copy the logs of the stores, which are deleted with the stores."""
    for log in stores.logs.glob("*.log"):
        shutil.copy(log, logs / log.name)


class _Driver:
    def __init__(self, plan: Plan, scene: Scene, console: Console) -> None:
        self._plan = plan
        self._scene = scene
        self._console = console
        self._load = Load(scene.stack.url, scene.stack.api_key, count=plan.count, seconds=plan.seconds)
        scene.post_again = self._load.post_again
        self._done = (0, 0)

    def carry_out(self, slots: Sequence[Slot], home: Path) -> Found:
        self._scene.switch(unknown_ids="odd")
        self._load.start()
        faults = [self._fault(slot) for slot in slots]
        self._pass(self._load.began + self._plan.seconds)
        end = time.time()
        try:
            self._settle()
        finally:
            self._load.stop()
        facts = read_facts(self._scene, self._load.posted)
        figures = verify(facts)
        posted = self._load.posted.values()
        found = Found(
            figures,
            recoveries(faults, told_at(dict(facts.client)), offered=self._load.rate, end=end),
            self._load.began,
            self._load.accepted,
            sum(one.posts > 1 for one in posted),
            home,
        )
        if not found.good:
            (home / "differences.json").write_text(json.dumps(_differences(facts, figures), indent=1, default=str))
        return found

    # --- faults

    def _fault(self, slot: Slot) -> Happened:
        self._pass(self._load.began + slot.at)
        fault = FAULTS[slot.kind]
        began = time.time()
        self._say(fault.what)
        fault.begin(self._scene, slot)
        self._pass(began + slot.lasts)
        fault.end(self._scene, slot)
        return Happened(slot.kind, began, time.time())

    def _pass(self, until: float) -> None:
        """Wait, and supervise the processes: restart and report a process that exits by itself."""
        while True:
            self._supervise()
            left = until - time.time()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    def _supervise(self) -> None:
        stack = self._scene.stack
        for child in (stack.sandbox, stack.web, *stack.workers):
            if not child.running and child.name not in self._scene.down:
                self._scene.complaints.append(f"{child.name} ended by itself, with exit code {child.exit_code}")
                child.start()

    # --- waiting for quiet

    def _settle(self) -> None:
        """Wait until every accepted transaction is final and notified, and the provider has sent its last webhook."""
        self._say("no more faults; waiting until every transaction is final and notified")
        deadline = time.time() + self._plan.settling
        said = time.time()
        while time.time() < deadline and not self._is_quiet():
            self._act_as_staff()
            self._pass(time.time() + 0.5)
            if time.time() - said > 10:
                said = time.time()
                self._say("waiting")
        self._say("quiet" if self._is_quiet() else f"not quiet after {self._plan.settling:g} s")

    def _is_quiet(self) -> bool:
        if self._load.running or any(job.has_work for job in read_jobs(self._scene)):
            return False
        creates = [
            call["at"]
            for seen in self._scene.stack.sandbox_state()["provider"]["transactions"].values()
            for call in seen["create_calls"]
        ]
        return time.time() > max(creates, default=0.0) + LONGEST_STORY / self._plan.speed + 1

    def _act_as_staff(self) -> None:
        """Request the notifications that wait for minutes because of two outages, as an operator or a client may.

        Request only notifications that wait. Others would hide that the service does not send them by itself.
        """
        enable_endpoints(self._scene)
        resume_providers(self._scene)
        parked = [job for job in read_jobs(self._scene) if job.kind == "notify" and job.due_in > PARKED]
        if not parked:
            return
        waiting = {job.transaction_id for job in parked}
        for one in list(self._load.posted.values()):
            if one.ours & waiting:
                self._scene.stack.request("POST", f"/v1/transactions/{one.ref}/notifications")

    def _say(self, what: str) -> None:
        with contextlib.suppress(psycopg2.OperationalError):  # the database is away: print the previous figures
            [self._done] = self._scene.execute(COUNTS)
        final, told = self._done
        since = time.time() - self._load.began
        counts = f"accepted {self._load.accepted:5}  final {final:5}  notified {told:5}"
        self._console.print(f"{since:6.1f} s  {counts}  {what}")


def _differences(facts: Facts, figures: Mapping[str, list[str]]) -> dict[str, object]:
    """Return all known facts about each differing transaction."""
    refs = {name.split(":")[0] for names in figures.values() for name in names}
    return {
        "figures": {name: names for name, names in figures.items() if names},
        "kills": list(facts.kills),
        "lost leases": list(facts.lost_leases),
        "transactions": {
            ref: {
                "client": asdict(facts.posted[ref]) if ref in facts.posted else None,
                "database": asdict(facts.rows[ref]) if ref in facts.rows else None,
                "provider": facts.theirs(facts.rows[ref]) if ref in facts.rows else None,
                "told": facts.client.get(ref),
            }
            for ref in sorted(refs & {*facts.posted, *facts.rows})
        },
    }
