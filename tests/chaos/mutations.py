"""Planted bugs. A short chaos run on a copy of the checkout must detect each of them."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from devstack.paths import CHECKOUT
from tests.chaos.verify import CHECKS

LONGEST = 400
"""Timeout in seconds of one run, including the start and the stop of its stack."""
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
PROVIDER = ("provider-500", "provider-down")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replacement of `old`, which must occur once in the file, by `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """Planted bug: its effect in one sentence, and the faults that reveal it."""

    name: str
    breaks: str
    faults: tuple[str, ...]
    edits: tuple[Edit, ...]


MUTATIONS = (
    Mutation(
        "no-compare-and-set",
        "A later final status overwrites the first one.",
        ("webhooks-forged",),
        (
            Edit(
                "transactions/sql.py",
                "AND (was.status = 'pending' OR o.source = 'staff' AND was.review = 'contradiction') AS wins",
                "AS wins",
            ),
        ),
    ),
    Mutation(
        "leases-forgotten",
        "The unfinished jobs of a killed worker are never resumed.",
        ("workers-killed",),
        (Edit("workers/dispatcher.py", "for lane in jobs.recover():", "for lane in list[str]():"),),
    ),
    Mutation(
        "no-create-job",
        "Accepted transactions get no create job.",
        ("broker-flushed",),
        (Edit("transactions/sql.py", "        ('create', '', %(provider_lane)s, 0.0),\n", ""),),
    ),
    Mutation(
        "broker-trusted",
        "The dispatchers do not search for due jobs: jobs start only after a message or another job of the lane.",
        ("broker-away",),
        (
            Edit("workers/dispatcher.py", "jobs.due_lanes(ahead=INTERVAL):", "jobs.due_lanes(ahead=-1e9):"),
            Edit("workers/engine.py", "SOON = 2.0", "SOON = 0.0"),
        ),
    ),
    Mutation(
        "commit-not-waited-for",
        "202 is sent before the transaction would survive a crash of PostgreSQL.",
        ("database-crashed",),
        (Edit("txnproject/settings.py", '"jit": "off",', '"jit": "off", "synchronous_commit": "off",'),),
    ),
    Mutation(
        "no-check-before-retry",
        "A create without a response is retried without a status check.",
        PROVIDER,
        (
            Edit(
                "transactions/handlers/create.py",
                "if provider.check_before_create or doubtful:",
                "if provider.check_before_create and work.claim.claim_count == 1:",
            ),
        ),
    ),
    Mutation(
        "no-settle-window",
        "A create that has not taken effect yet is retried at once, and then both take effect.",
        PROVIDER,
        (
            Edit("transactions/handlers/create.py", "if asked_at < settled_at:", "if asked_at < work.create_began_at:"),
            Edit("transactions/handlers/create.py", "Again(work.provider.create_retry_delay,", "Again(0.05,"),
        ),
    ),
    Mutation(
        "unknown-is-refused",
        "A create that is answered 504 counts as refused: the transaction fails, but the provider creates it later.",
        PROVIDER,
        (Edit("providers/adapters/http.py", "case 400 | 404 | 422:", "case 400 | 404 | 422 | 504:"),),
    ),
    Mutation(
        "page-is-created",
        "An HTML page with status 200 counts as a created transaction.",
        ("provider-500",),
        (Edit("providers/adapters/http.py", "if _is_of_another_kind(answer, content):", "if False:"),),
    ),
    Mutation(
        "any-2xx-is-present",
        "A status check with status 200 proves that the transaction exists, whatever its body says.",
        ("provider-500",),
        (
            Edit(
                "providers/adapters/http.py",
                "if (known := status_of(provider, word)) is None:",
                "if (known := status_of(provider, word) or Status.PENDING) is None:",
            ),
        ),
    ),
    Mutation(
        "runs-matched-by-count",
        "A settle matches a run by its job and the count of claims, which repeat after a loss of commits.",
        ("commits-lost",),
        (
            Edit(
                "workers/sql.py",
                "j.claim_token FROM workers_job j\nWHERE j.id = ANY (%(ids)s) AND j.state = 'running'",
                "j.claim_count FROM workers_job j\nWHERE j.id = ANY (%(ids)s)",
            ),
            Edit("workers/jobs.py", "(claim.id, claim.token) not in ours", "(claim.id, claim.claim_count) not in ours"),
            Edit("workers/jobs.py", "(claim.id, claim.token) in ours", "(claim.id, claim.claim_count) in ours"),
        ),
    ),
    Mutation(
        "random-ids",
        "Each accepted POST gets a new id at the provider, also one that repeats a lost transaction.",
        ("commits-lost",),
        (Edit("transactions/store.py", '"id": client.transaction_id(order.client_ref),', '"id": uuid7(),'),),
    ),
    Mutation(
        "pending-sent-late",
        "A notification contains the status at its creation: `pending` is sent after the final status.",
        ("client-500",),
        (
            Edit(
                "transactions/sql.py",
                "WHERE wins)) AND coalesce(job.state) = 'waiting'\n), notified",
                "WHERE wins)) AND coalesce(job.state) = 'waiting' AND job.kind <> 'notify'\n), notified",
            ),
            Edit("webhooks/outgoing/deliveries.py", 'claim.key != f"seq:{snapshot.sequence}"', "False"),
            Edit(
                "webhooks/outgoing/notify.py",
                "    snapshot = delivery.snapshot\n    if delivery",
                "    snapshot = delivery.snapshot\n"
                '    if delivery.claim.key == "seq:1":\n'
                "        from dataclasses import replace\n\n"
                '        snapshot = replace(snapshot, status="pending", sequence=1)\n'
                "    if delivery",
            ),
        ),
    ),
    Mutation(
        "polls-not-notified",
        "A final status that a poll finds triggers no notification.",
        ("provider-500",),
        (
            Edit(
                "transactions/sql.py",
                "clock_timestamp()\n    FROM changed WHERE wins\n",
                "clock_timestamp()\n    FROM changed WHERE wins AND source <> 'poll'\n",
            ),
        ),
    ),
    Mutation(
        "any-answer-confirms",
        "A notification that the endpoint answers with 500 counts as delivered.",
        ("client-500",),
        (Edit("webhooks/outgoing/notify.py", "if 200 <= answer.status < 300:", "if answer.status >= 200:"),),
    ),
    Mutation(
        "webhooks-not-applied",
        "A webhook is answered 204 and changes nothing.",
        ("webhooks-forged",),
        (
            Edit(
                "webhooks/incoming/services.py",
                "apply([(id_, observation)] if id_ else [])",
                "apply([(id_, observation)] if not id_ else [])",
            ),
        ),
    ),
    Mutation(
        "webhooks-not-recorded",
        "Repeated webhooks are missing in the records.",
        ("webhooks-forged",),
        (Edit("webhooks/sql.py", "SET repeats = repeats + 1", "SET repeats = repeats"),),
    ),
    Mutation(
        "jumps-not-noticed",
        "A jump of PostgreSQL's clock ends leases and settle windows.",
        ("clock-forward",),
        (Edit("workers/clock.py", "TOLERANCE = 1.0", "TOLERANCE = 1e9"),),
    ),
    Mutation(
        "waits-by-the-clock",
        "Jobs that wait when PostgreSQL's clock goes back wait for that much longer.",
        ("clock-back",),
        (Edit("txnproject/jobs.py", '        "clock": clock.database.move_jobs,\n', ""),),
    ),
    Mutation(
        "nothing-handed-back",
        "A worker that stops keeps its unfinished jobs until the leases expire.",
        ("worker-stopped",),
        (
            Edit(
                "workers/engine.py",
                "        self._settles.submit((claim, result))\n\n    async def _cancel_all",
                "        if not self._stopping:\n"
                "            self._settles.submit((claim, result))\n\n    async def _cancel_all",
            ),
        ),
    ),
)
"""The chaos test detects each of them. docs/chaos.md names the figures that do."""


def mutate(checkout: Path, mutation: Mutation) -> None:
    """Apply the edits of the bug. Raise ValueError if a text to replace does not occur exactly once."""
    for edit in mutation.edits:
        path = checkout / edit.file
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise ValueError(f"{mutation.name}: {edit.old!r} occurs {text.count(edit.old)} times in {edit.file}")
        path.write_text(text.replace(edit.old, edit.new))


def caught_by(mutation: Mutation) -> tuple[list[str], str]:
    """Run chaos on a copy with this bug. Return the figures that detected it, and the output of the run."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / "checkout"
        Path(folder).chmod(0o755)  # the PostgreSQL user needs access to the files
        shutil.copytree(CHECKOUT, copy, ignore=LEFT_OUT)
        mutate(copy, mutation)
        command = [sys.executable, "-m", "tests.chaos", "--seed", "1", "--seconds", "30", "--count", "450"]
        command += ["--settling", "45", "--faults", *mutation.faults]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=LONGEST, check=False)
    return _by(run.stdout) if run.returncode == 1 else [], run.stdout + run.stderr


def main(words: list[str]) -> int:
    """Run chaos for the named bugs, or for all. Return 0 if each bug is detected."""
    parser = argparse.ArgumentParser(prog="make chaos-mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(mutation.name for mutation in MUTATIONS))
    names = parser.parse_args(words).names
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    rows = Table("planted bug", "effect", "detected", "by", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    missed = []
    for mutation in chosen:
        began = time.monotonic()
        figures, printed = caught_by(mutation)
        if not figures:
            missed.append(mutation.name)
            console.print(printed, markup=False)
        took = time.monotonic() - began
        console.print(f"{mutation.name}: {'detected' if figures else '[bold red]NOT DETECTED[/]'} ({took:.0f} s)")
        rows.add_row(mutation.name, mutation.breaks, "yes" if figures else "[bold red]NO[/]", "\n".join(figures))
    console.print(rows)
    return 1 if missed else 0


def _by(printed: str) -> list[str]:
    """Return the figures above 0 from the table that a run prints."""
    found = []
    for line in printed.splitlines():
        name = next((name for name in CHECKS if line.strip().startswith(name)), None)
        if name is not None and (count := line.strip().removeprefix(name).split()[0]) != "0":
            found.append(f"{name}: {count}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
