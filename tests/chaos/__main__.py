"""`python -m tests.chaos`: faults of every kind under load, then a comparison of client, service and provider."""

import argparse
import random
import shlex
import sys

from rich.console import Console

from devstack.processes import StackError, end_on_signals
from tests.chaos.faults import FAULTS
from tests.chaos.report import report
from tests.chaos.run import Plan, run

SECONDS = 290.0
COUNT = 4500


def parse(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    epilog = "Faults:\n" + "\n".join(f"  {name:20} {fault.what}" for name, fault in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seed", type=int, help="determines the order and the targets of the faults (default: random)")
    add("--seconds", type=float, default=SECONDS, help="duration of the load (default: %(default)g)")
    add("--count", type=int, default=COUNT, help="transactions to post (default: %(default)s)")
    add("--speed", type=float, default=20, help="speed of the provider's clock (default: %(default)g)")
    add("--settling", type=float, default=180, help="longest wait after the load (default: %(default)g)")
    add("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT", help="default: all kinds")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run chaos. Return 0 if all figures are 0 and all recoveries in time, 1 otherwise, 2 without a run."""
    asked = parse(words)
    seed = random.randrange(10_000) if asked.seed is None else asked.seed
    plan = Plan(seed, asked.seconds, asked.count, asked.speed, asked.settling, tuple(asked.faults))
    repeat = ["--seed", str(seed), "--seconds", f"{plan.seconds:g}", "--count", str(plan.count)]
    repeat += ["--speed", f"{plan.speed:g}"] if plan.speed != 20 else []
    repeat += ["--faults", *plan.kinds] if plan.kinds != tuple(FAULTS) else []
    command = f"make chaos ARGS={shlex.quote(' '.join(repeat))}"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    end_on_signals()
    try:
        slots = plan.slots()
        console.print(f"{plan.count} transactions in {plan.seconds:g} s, {len(slots)} faults, seed {seed}")
        console.print(f"To repeat it: {command}")
        found = run(plan, console)
    except (ValueError, StackError) as error:
        print(error, file=sys.stderr)
        return 2
    report(console, found, command)
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
