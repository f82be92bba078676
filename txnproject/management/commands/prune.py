"""`manage.py prune`: old jobs, their calls, and old webhooks are deleted; transactions and their timelines stay."""

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from transactions.pruning import JOBS, Busy, alone, cut_off, walk
from webhooks.pruning import WEBHOOKS

MOST_DAYS = 36_500
MOST_ROWS = 10_000
"""Rows of a batch: more would be one long transaction rather than many short ones."""
LONGEST_PAUSE = 60.0


class Command(BaseCommand):
    help = (
        "Delete old jobs, the record of their calls, and old webhooks, some at a time. Kept are transactions and their "
        "timelines, jobs that wait, run or failed, and all of a transaction that is not final, not confirmed by its "
        "client, or flagged for review."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        days, rows = _between(1, MOST_DAYS, int), _between(1, MOST_ROWS, int)
        parser.add_argument("--older-than", type=days, default=90, metavar="DAYS", help="default: 90")
        parser.add_argument("--batch", type=rows, default=1000, metavar="ROWS", help="looked at a time; default: 1000")
        pause = _between(0.0, LONGEST_PAUSE, float)
        parser.add_argument("--pause", type=pause, default=0.05, metavar="SECONDS", help="between two; default: 0.05")
        parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")

    def handle(self, *args: Any, **options: Any) -> None:
        self._seen: Counter[str] = Counter()
        try:
            with alone():
                self._prune(options)
        except Busy as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, InterfaceError) as error:
            self._say(options["dry_run"], end="\n")
            raise CommandError(f"The database ended it; run it again. It said: {error}") from error
        except KeyboardInterrupt:
            self._say(options["dry_run"], end=" Interrupted: the rest is for the next run.\n")
            raise SystemExit(130) from None
        self._say(options["dry_run"], end="\n")

    def _prune(self, options: dict[str, Any]) -> None:
        before = cut_off(options["older_than"])
        for sweep in (JOBS, WEBHOOKS):
            for step in walk(sweep, before=before, batch=options["batch"], dry_run=options["dry_run"]):
                self._seen["rows"] += step.scanned
                self._seen.update(step.gone)
                if self.stdout.isatty():
                    self._say(options["dry_run"], end="")
                time.sleep(options["pause"])

    def _say(self, dry_run: bool, *, end: str) -> None:
        seen, verb = self._seen, "Would delete" if dry_run else "Deleted"
        line = f"{verb} {seen['jobs']:,} jobs with {seen['calls']:,} calls, and {seen['webhooks']:,} webhooks"
        again = "\r" if self.stdout.isatty() else ""
        self.stdout.write(f"{again}{line}; {seen['rows']:,} rows looked at.{end}", ending="")
        self.stdout.flush()


def _between(least: float, most: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    """An argument's type: a number within these limits."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:g}")
        return value

    return read
