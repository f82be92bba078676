"""`manage.py createsecret`: add a secret of a client or provider; the older ones expire after an overlap."""

from typing import Any

from django.core.management.base import CommandParser

from clients.models import Client
from operators.credentials import add_secret, secrets_of
from providers.models import Provider
from txnproject.management.command import JsonCommand, between, checking, existing

OVERLAP = between(0, 8760, float)
"""Hours; at most a year."""


class Command(JsonCommand):
    help = (
        "Rotate the callback secret of a client, or the webhook secret of a provider. Prints the new secret, which "
        "cannot be shown again. Until the older secrets expire, notifications are signed with all of them, and "
        "webhooks signed with any of them are accepted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--client", dest="owner", type=existing(Client, "name"), metavar="NAME")
        owner.add_argument("--provider", dest="owner", type=existing(Provider, "slug"), metavar="SLUG")
        parser.add_argument("--secret", metavar="SECRET", help="Secret to store. Default: generate one")
        overlap = "Time until the older secrets expire, from 0 to 8760. Default: %(default)g"
        parser.add_argument("--overlap", type=OVERLAP, default=24.0, metavar="HOURS", help=overlap)

    def handle(self, *args: Any, **options: Any) -> None:
        owner, days = options["owner"], options["overlap"] / 24
        with checking("--secret"):
            secret = add_secret(owner, overlap_days=days, secret=options["secret"] or "")
        self.answer_issued(options, owner, {str(secrets_of(owner).model._meta.verbose_name): secret})
