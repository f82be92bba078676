"""`manage.py createkey`: one more API key of a client."""

import json
from datetime import timedelta
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from transactions.credentials import add_key
from transactions.models import ApiKey, Client

log = structlog.get_logger(__name__)

LONGEST = 3650
"""Days that a key can last; one for longer has no end."""


class Command(BaseCommand):
    help = "Create an API key of a client; prints the key, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("client", help="The client's name")
        parser.add_argument("--name", required=True, help="What it is for, such as the system that will use it")
        parser.add_argument("--days", type=int, metavar="N", help="It ends after so many. Default: when it is revoked")
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        client, name, days = Client.objects.filter(name=options["client"]).first(), options["name"], options["days"]
        if client is None:
            raise CommandError(f"There is no client {options['client']!r}: make it with createclient first.")
        if days is not None and not 1 <= days <= LONGEST:
            raise CommandError(f"--days: from 1 to {LONGEST}.")
        try:
            ApiKey._meta.get_field("name").clean(name, None)
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from error
        key = add_key(client, name=name, lasts=None if days is None else timedelta(days=days))
        log.info("An API key was created", action="key_created", key={"client": client.name, "begins": key[:12]})
        if options["json"]:
            self.stdout.write(json.dumps({"client": client.name, "name": name, "api_key": key}))
            return
        self.stdout.write(f"Client {client.name}\n  API key  {key}\nKeep it now: it cannot be shown again.")
