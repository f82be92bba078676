"""`manage.py createprovider`: a third party at which transactions are created."""

import json
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from transactions.management.settings_by_word import apply_settings, save_checked
from transactions.models import Provider, WebhookSecret
from transactions.models.providers import validate_webhook_secret
from transactions.signing import new_secret

GIVEN = {"id", "slug", "adapter", "base_url", "webhook_auth", "paused_why", "created_at"}
SETTABLE = tuple(field.name for field in Provider._meta.concrete_fields if field.name not in GIVEN)


class Command(BaseCommand):
    help = "Create a provider; prints the secret for its webhooks, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="Its name in addresses and in the API")
        parser.add_argument("--base-url", required=True)
        parser.add_argument("--adapter", default="http", choices=["http"])
        parser.add_argument("--webhook-auth", default=Provider.Auth.STANDARD, choices=Provider.Auth.values)
        parser.add_argument("--webhook-secret", metavar="SECRET", help="The provider's, where it gave you one")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=", ".join(SETTABLE))
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        provider = Provider(
            slug=options["slug"],
            adapter=options["adapter"],
            base_url=options["base_url"],
            webhook_auth=options["webhook_auth"],
        )
        apply_settings(provider, options["set"], allowed=SETTABLE)
        secret = options["webhook_secret"] or new_secret()
        try:
            validate_webhook_secret(provider.webhook_auth, secret)
        except ValidationError as error:
            raise CommandError(f"--webhook-secret: {error.message}") from error
        with transaction.atomic():
            save_checked(provider)
            WebhookSecret.objects.create(provider=provider, secret=secret)
        url = f"{settings.PUBLIC_URL}/webhooks/{provider.slug}"
        if provider.webhook_auth == Provider.Auth.URL_TOKEN:
            url += "/<provider_transaction_id>/<token>"
        if options["json"]:
            self.stdout.write(json.dumps({"provider": provider.slug, "webhook_secret": secret, "webhook_url": url}))
            return
        self.stdout.write(
            f"Provider {provider.slug}\n  webhooks to     {url}\n  webhook secret  {secret}\n"
            + (
                "The secret is for other schemes: with url-token the address proves who sends."
                if provider.webhook_auth == Provider.Auth.URL_TOKEN
                else "Keep the secret now: it cannot be shown again."
            )
        )
