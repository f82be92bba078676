"""`manage.py prune`: delete old jobs, their calls, and old webhooks; transactions and their timelines stay."""

import time
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from transactions.pruning import JOBS, cut_off, walk
from txnproject.management.command import between
from webhooks.pruning import WEBHOOKS

DAYS = between(1, 36_500)
ROWS = between(1, 10_000)
"""Rows of a batch: more would be one long transaction rather than many short ones."""
PAUSE = between(0.0, 60.0, float)


class Command(BaseCommand):
    help = (
        "Delete old jobs, the record of their calls, and old webhooks, a batch at a time. Kept are transactions and "
        "their timelines, jobs that wait, run or failed, and everything of a transaction that is not final, not "
        "confirmed by its client, or flagged for review."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=DAYS, default=90, metavar="DAYS", help="default: 90")
        parser.add_argument("--batch", type=ROWS, default=1000, metavar="ROWS", help="checked at a time; default: 1000")
        parser.add_argument("--pause", type=PAUSE, default=0.05, metavar="SECONDS", help="after each; default: 0.05")
        parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")

    def handle(self, *args: Any, dry_run: bool, older_than: int, batch: int, pause: float, **options: Any) -> None:
        verb, seen = "Would delete" if dry_run else "Deleted", Counter[str]()

        def say(end: str = "\n") -> None:
            line = f"{verb} {seen['jobs']:,} jobs with {seen['calls']:,} calls, and {seen['webhooks']:,} webhooks"
            again = "\r" if self.stdout.isatty() else ""
            self.stdout.write(f"{again}{line}; {seen['rows']:,} rows checked.{end}", ending="")
            self.stdout.flush()

        try:
            before = cut_off(older_than)
            for sweep in (JOBS, WEBHOOKS):
                for step in walk(sweep, before=before, batch=batch, dry_run=dry_run):
                    seen.update(step)
                    if self.stdout.isatty():
                        say(end="")
                    time.sleep(pause)
        except (DatabaseError, InterfaceError) as error:
            say()
            raise CommandError(f"The database ended the run: start it again. Error: {error}") from error
        except KeyboardInterrupt:
            say(end=" Interrupted: run it again to delete the rest.\n")
            raise SystemExit(130) from None
        say()
