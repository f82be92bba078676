"""`manage.py createsecret`: add a secret of a client or provider; the older ones expire after an overlap."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from clients.models import Client
from operators.credentials import add_secret
from providers.models import Provider
from txnproject.management.json_output import JsonCommand

OWNERS: dict[str, tuple[Any, str, str]] = {
    "client": (Client, "name", "callback secret"),
    "provider": (Provider, "slug", "webhook secret"),
}
MAX_OVERLAP = 8760.0
"""Hours: a year."""


class Command(JsonCommand):
    help = (
        "Rotate the callback secret of a client, or the webhook secret of a provider. Prints the new secret, which "
        "cannot be shown again. Until the older secrets expire, notifications are signed with all of them, and "
        "webhooks signed with any of them are accepted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--client", metavar="NAME")
        owner.add_argument("--provider", metavar="SLUG")
        parser.add_argument("--secret", metavar="SECRET", help="Secret to store. Default: generate one")
        overlap = f"Time until the older secrets expire, from 0 to {MAX_OVERLAP:g}. Default: %(default)g"
        parser.add_argument("--overlap", type=float, default=24.0, metavar="HOURS", help=overlap)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["overlap"] <= MAX_OVERLAP:
            raise CommandError(f"--overlap: give a number of hours from 0 to {MAX_OVERLAP:g}.")
        of = "client" if options["client"] else "provider"
        model, field, kind = OWNERS[of]
        owner = model.objects.only(field).filter(**{field: options[of]}).first()
        if owner is None:
            raise CommandError(f"There is no {of} {options[of]!r}.")
        try:
            secret = add_secret(owner, overlap_days=options["overlap"] / 24, secret=options["secret"] or "")
        except ValidationError as error:
            raise CommandError(f"--secret: {' '.join(error.messages)}") from error
        text = f"{of.capitalize()} {owner}\n  {kind}  {secret}\nStore the secret now. It cannot be shown again."
        self.answer(options, {of: str(owner), kind.replace(" ", "_"): secret}, text)
