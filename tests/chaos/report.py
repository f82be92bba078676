"""Report of `make chaos`: the faults with their recovery, and the figures of the verify pass."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS
from tests.chaos.recovery import RECOVERED_RATIO, Recovery
from tests.chaos.run import Found

SHOWN = 5
"""Number of differing transactions that a figure names."""


def report(console: Console, found: Found, command: str) -> None:
    """Print the tables and the verdict; `command` repeats the run."""
    console.print(faults_table(found.recoveries, found.began))
    console.print(figures_table(found.figures))
    console.print(
        f"{found.accepted} transactions were accepted, {found.repeated} of them posted more than once; "
        f"{len(found.recoveries)} faults."
    )
    if found.good:
        console.print(f"[bold green]Nothing lost, nothing created twice.[/] To repeat the run: {command}")
        return
    console.print(f"[bold red]The run found differences or slow recoveries.[/] To repeat the run: {command}")
    console.print(f"The logs, and details of the differences (differences.json), are in {found.logs}")


def faults_table(recoveries: Sequence[Recovery], began: float) -> Table:
    """Return a table of the faults. Rates are notified final statuses per second."""
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows.add_column("fault")
    rows.add_column("description")
    for heading in ("at s", "lasted s", "notified/s before", "during", f"back to {RECOVERED_RATIO:.0%} after s"):
        rows.add_column(heading, justify="right")
    for one in recoveries:
        fault = one.fault
        rows.add_row(
            fault.kind,
            FAULTS[fault.kind].what,
            f"{fault.began - began:.1f}",
            f"{fault.ended - fault.began:.1f}",
            f"{one.before:.1f}",
            f"{one.during:.1f}",
            _after(one),
        )
    return rows


def _after(one: Recovery) -> str:
    if one.after is None and not one.seen:
        return "-"  # the next fault came before the first window ended
    text = f"{one.after:.1f}" if one.after is not None else f"> {one.seen:.1f}"
    return f"[bold red]{text}[/]" if one.too_slow else text


def figures_table(figures: Mapping[str, list[str]]) -> Table:
    """Return a table of the figures of the verify pass. Each figure must be 0."""
    rows = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows.add_column("difference")
    rows.add_column("count", justify="right")
    rows.add_column("transactions")
    for name, differing in figures.items():
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        count = f"[bold red]{len(differing)}[/]" if differing else "0"
        rows.add_row(name, count, ", ".join(differing[:SHOWN]) + more)
    return rows
