"""`manage.py revokekey`: end an API key, by the characters it begins with."""

import json
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from transactions.credentials import revoke
from transactions.models import ApiKey

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Revoke an API key: requests with it are refused within two seconds. This cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="The twelve characters that it begins with; the admin lists them")
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        prefix = options["prefix"].removesuffix("…")
        if len(prefix) != 12:  # and do not repeat it: it may be a whole key
            raise CommandError("Give the twelve characters that the key begins with, and no more.")
        found = list(ApiKey.objects.select_related("client").filter(prefix=prefix))
        if not found:
            raise CommandError(f"There is no key that begins with {prefix}.")
        if len(found) > 1:
            raise CommandError(f"{len(found)} keys begin with {prefix}: revoke the right one in the admin.")
        [key] = found
        revoked = revoke(key.pk)
        if revoked:
            log.info("An API key was revoked", action="key_revoked", key={"client": key.client.name, "begins": prefix})
        if options["json"]:
            self.stdout.write(json.dumps({"client": key.client.name, "name": key.name, "revoked_now": revoked}))
            return
        self.stdout.write(f"The key {key} ({key.name}) of {key.client} {'is' if revoked else 'was'} revoked", ending="")
        self.stdout.write("." if revoked else " before.")
