"""What `make demo` shows: live progress, then a table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from devstack.findings import Finding

STEPS = {"sent": "accepted", "done": "final", "told": "told to the client"}

Show = Callable[[str, int], None]
"""Takes a step and how many have reached it."""


@contextmanager
def progress(console: Console, total: int) -> Iterator[Show]:
    """Bars on a terminal; elsewhere a line when something has changed, at most one a second."""
    if not console.is_terminal:
        yield _Lines(console, total).show
        return
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {step: bars.add_task(text, total=total) for step, text in STEPS.items()}
        yield lambda step, count: bars.update(tasks[step], completed=count)


class _Lines:
    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._counts = dict.fromkeys(STEPS, 0)
        self._printed_at = 0.0

    def show(self, step: str, count: int) -> None:
        if count == self._counts[step]:
            return
        self._counts[step] = count
        if count == self._total or time.monotonic() - self._printed_at >= 1:
            self._printed_at = time.monotonic()
            counts = ", ".join(f"{count} {STEPS[step]}" for step, count in self._counts.items())
            self._console.print(f"  {counts}, of {self._total}")


def table(findings: list[Finding]) -> Table:
    """One row a transaction."""
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("reference", "third party", "service", "client was told", "how it got there"):
        rows.add_column(heading)
    rows.add_column("seconds", justify="right")
    rows.add_column("agreed")
    for finding in findings:
        rows.add_row(
            finding.reference,
            finding.third_party or ("refused" if finding.refused else "-"),
            finding.service or "-",
            ", ".join(finding.told) or "-",
            finding.how,
            "-" if finding.seconds is None else f"{finding.seconds:.1f}",
            "yes" if finding.agreed else "[bold red]NO[/]",
        )
    return rows
