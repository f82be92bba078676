"""`manage.py createclient`: create a client with an API key and a callback secret."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from clients.models import Client
from operators.credentials import issue_first
from providers.models import Provider
from txnproject.management.command import JsonCommand, apply_settings, existing, save_checked

SETTABLE = ("callback_method", "callback_body", "enabled", "rate_limit")


class Command(JsonCommand):
    help = "Create a client of the API. Prints its API key and callback secret, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--callback-url", required=True, help="URL that receives its notifications")
        provider = existing(Provider, "slug")
        parser.add_argument("--provider", type=provider, metavar="SLUG", help="Default provider of its transactions")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=", ".join(SETTABLE))

    def handle(self, *args: Any, **options: Any) -> None:
        client = Client(name=options["name"], callback_url=options["callback_url"])
        client.default_provider = options["provider"]
        apply_settings(client, options["set"], allowed=SETTABLE)
        with transaction.atomic():
            save_checked(client)
            issued = issue_first(client)
        self.answer_issued(options, client, issued)
