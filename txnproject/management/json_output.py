"""Base of the commands that print what they did: as text, or as one JSON object with `--json`."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class JsonCommand(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def answer(self, options: dict[str, Any], fields: dict[str, Any], text: str) -> None:
        """Print `fields` with `--json`, otherwise `text`."""
        self.stdout.write(json.dumps(fields) if options["json"] else text)
