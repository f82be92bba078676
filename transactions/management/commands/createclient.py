"""`manage.py createclient`: a client, its first API key and callback secret."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from transactions.management.settings_by_word import apply_settings, save_checked
from transactions.models import ApiKey, CallbackSecret, Client, Provider
from transactions.signing import new_secret

SETTABLE = ("callback_method", "callback_body", "enabled", "rate_limit")


class Command(BaseCommand):
    help = "Create a client of the API; prints its key and callback secret, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--callback-url", required=True, help="Where its notifications go")
        parser.add_argument("--provider", metavar="SLUG", help="Its default provider")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=", ".join(SETTABLE))
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        client = Client(name=options["name"], callback_url=options["callback_url"])
        if slug := options["provider"]:
            client.default_provider = Provider.objects.filter(slug=slug).first()
            if client.default_provider is None:
                raise CommandError(f"There is no provider {slug!r}: make it with createprovider first.")
        apply_settings(client, options["set"], allowed=SETTABLE)
        with transaction.atomic():
            save_checked(client)
            key, secret = ApiKey.create_for(client), new_secret()
            CallbackSecret.objects.create(client=client, secret=secret)
        made = {"client": client.name, "api_key": key, "callback_secret": secret}
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        self.stdout.write(
            f"Client {client.name}\n  API key          {key}\n  callback secret  {secret}\n"
            "Keep both now: they cannot be shown again."
        )
