"""`manage.py createkey`: create an additional API key of a client."""

from typing import Any

from django.core.management.base import CommandParser

from clients.models import Client
from operators.credentials import MAX_KEY_DAYS, create_key
from txnproject.management.command import JsonCommand, between, checking, existing


class Command(JsonCommand):
    help = "Create an API key of a client and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("client", type=existing(Client, "name"), help="Name of the client")
        parser.add_argument("--name", required=True, help="Purpose of the key, such as the system that will use it")
        lifetime = f"Lifetime in days, from 1 to {MAX_KEY_DAYS}. Default: the key does not expire"
        parser.add_argument("--days", type=between(1, MAX_KEY_DAYS), metavar="N", help=lifetime)

    def handle(self, *args: Any, **options: Any) -> None:
        client, name = options["client"], options["name"]
        with checking("--name"):
            key = create_key(client, name=name, days=options["days"])
        self.answer_issued(options, client, {"name": name, "API key": key})
