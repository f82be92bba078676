"""`manage.py createsecret`: a new secret of a client or provider beside the older ones, which end after a while."""

import json
from datetime import timedelta
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from transactions.credentials import add_secret, lock
from transactions.models import Client, Provider

log = structlog.get_logger(__name__)

DAY = 24.0
LONGEST = 8760.0
"""Hours that older secrets can be left."""


class Command(BaseCommand):
    help = (
        "Rotate a client's callback secret, or a provider's webhook secret: prints a new one, which cannot be shown "
        "again. Until the older ones end, notifications are signed with all of them, and webhooks by any are accepted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--client", metavar="NAME")
        owner.add_argument("--provider", metavar="SLUG")
        parser.add_argument("--secret", metavar="SECRET", help="One that you were given; default: a new one")
        overlap = "Older ones end after so many; default: 24"
        parser.add_argument("--overlap", type=float, default=DAY, metavar="HOURS", help=overlap)
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["overlap"] <= LONGEST:
            raise CommandError(f"--overlap: from 0 to {LONGEST:g} hours.")
        owner, kind = _owner(options), "callback secret" if options["client"] else "webhook secret"
        try:
            with transaction.atomic():
                lock(owner)
                added = add_secret(owner, overlap=timedelta(hours=options["overlap"]), secret=options["secret"] or "")
        except ValidationError as error:
            raise CommandError(f"--secret: {' '.join(error.messages)}") from error
        log.info("A secret was added", action="secret_added", secret={"of": str(owner), "number": added.pk})
        if options["json"]:
            of = "client" if options["client"] else "provider"
            self.stdout.write(json.dumps({of: str(owner), kind.replace(" ", "_"): added.secret}))
            return
        self.stdout.write(
            f"{type(owner).__name__} {owner}\n  {kind}  {added.secret}\nKeep it now: it cannot be shown again."
        )


def _owner(options: dict[str, Any]) -> Client | Provider:
    found: Client | Provider | None
    if name := options["client"]:
        found = Client.objects.filter(name=name).first()
    else:
        found = Provider.objects.filter(slug=options["provider"]).defer("headers").first()
    if found is None:
        raise CommandError(f"There is no {'client' if name else 'provider'} {name or options['provider']!r}.")
    return found
