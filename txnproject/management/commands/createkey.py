"""`manage.py createkey`: create an additional API key of a client."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from clients.models import Client
from operators.credentials import MAX_KEY_DAYS, create_key
from txnproject.management.json_output import JsonCommand


class Command(JsonCommand):
    help = "Create an API key of a client and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("client", help="Name of the client")
        parser.add_argument("--name", required=True, help="Purpose of the key, such as the system that will use it")
        lifetime = f"Lifetime in days, from 1 to {MAX_KEY_DAYS}. Default: the key does not expire"
        parser.add_argument("--days", type=int, metavar="N", help=lifetime)

    def handle(self, *args: Any, **options: Any) -> None:
        name, days = options["name"], options["days"]
        client = Client.objects.filter(name=options["client"]).first()
        if client is None:
            raise CommandError(f"There is no client {options['client']!r}. Create it with createclient first.")
        if days is not None and not 1 <= days <= MAX_KEY_DAYS:
            raise CommandError(f"--days: give a number from 1 to {MAX_KEY_DAYS}.")
        try:
            key = create_key(client, name=name, days=days)
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from error
        text = f"Client {client.name}\n  API key  {key}\nStore the key now. It cannot be shown again."
        self.answer(options, {"client": client.name, "name": name, "api_key": key}, text)
