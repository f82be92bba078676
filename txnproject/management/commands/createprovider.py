"""`manage.py createprovider`: create a provider and the secret of its webhooks."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction

from operators.credentials import add_secret
from providers.models import Provider
from txnproject.management.command import JsonCommand, apply_settings, checking, save_checked

GIVEN = {"id", "slug", "adapter", "base_url", "webhook_auth", "paused_why", "created_at"}
SETTABLE = tuple(field.name for field in Provider._meta.concrete_fields if field.name not in GIVEN)


class Command(JsonCommand):
    help = "Create a provider. Prints the secret of its webhooks, which cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", help="Its name in URLs and in the API")
        parser.add_argument("--base-url", required=True)
        parser.add_argument("--adapter", default="http", choices=["http"])
        parser.add_argument("--webhook-auth", default=Provider.Auth.STANDARD, choices=Provider.Auth.values)
        secret = "Secret that the provider has issued. Default: generate one"  # noqa: S105  a help text
        parser.add_argument("--webhook-secret", metavar="SECRET", help=secret)
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=", ".join(SETTABLE))

    def handle(self, *args: Any, **options: Any) -> None:
        provider = Provider(**{name: options[name] for name in ("slug", "adapter", "base_url", "webhook_auth")})
        apply_settings(provider, options["set"], allowed=SETTABLE)
        with checking("--webhook-secret"), transaction.atomic():
            save_checked(provider)
            secret = add_secret(provider, secret=options["webhook_secret"] or "")
        url, note = f"{settings.PUBLIC_URL}/webhooks/{provider.slug}", "Store the secret now. It cannot be shown again."
        if provider.webhook_auth == Provider.Auth.URL_TOKEN:
            url += "/<provider_transaction_id>/<token>"
            note = "url-token does not use the secret: the token in the URL authenticates the webhook."
        text = f"Provider {provider.slug}\n  webhook URL     {url}\n  webhook secret  {secret}\n{note}"
        self.answer(options, {"provider": provider.slug, "webhook_secret": secret, "webhook_url": url}, text)
