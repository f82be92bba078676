"""`manage.py revokekey`: revoke an API key, given its first characters."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from clients.models import ApiKey
from operators.credentials import revoke_key
from txnproject.management.command import JsonCommand


class Command(JsonCommand):
    help = "Revoke an API key. Requests with it are refused within two seconds. This cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("prefix", help="First twelve characters of the key, as listed in the admin")

    def handle(self, *args: Any, **options: Any) -> None:
        prefix = options["prefix"].removesuffix("…")
        if len(prefix) != 12:  # the message omits the value, which may be a whole key
            raise CommandError("Give exactly the first twelve characters of the key.")
        found = list(ApiKey.objects.select_related("client").filter(prefix=prefix))
        if not found:
            raise CommandError(f"There is no key that begins with {prefix}.")
        if len(found) > 1:
            raise CommandError(f"{len(found)} keys begin with {prefix}. Revoke the right one in the admin.")
        [key] = found
        revoked = revoke_key(key)
        text = f"The key {key} ({key.name}) of {key.client} {'is revoked' if revoked else 'was revoked before'}."
        self.answer(options, {"client": key.client.name, "name": key.name, "revoked_now": revoked}, text)
