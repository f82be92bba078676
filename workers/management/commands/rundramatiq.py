"""`manage.py rundramatiq` with defaults for this service; every option can be overridden."""

import argparse
from typing import Any

from django.conf import settings
from django_dramatiq.management.commands import rundramatiq


class Command(rundramatiq.Command):
    help = "Run a worker of one process. Run several under one supervisor each."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        # One process: when one of several dies, Dramatiq stops its siblings, and nothing starts them again.
        # Four threads: an actor only waits for a claim; the work runs on the engine's event loop.
        grace = int((settings.WORKER_GRACE + 15) * 1000)
        parser.set_defaults(processes=1, threads=4, worker_shutdown_timeout=grace, skip_logging=True)

    def handle(self, *args: Any, **options: Any) -> None:
        self.check(databases=["default"])
        super().handle(*args, **options)
