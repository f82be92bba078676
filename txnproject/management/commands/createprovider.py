"""`manage.py createprovider`: create a provider and the secret of its webhooks."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from operators.credentials import issue_first
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
            issued = issue_first(provider, secret=options["webhook_secret"] or "")
        self.answer_issued(options, provider, {"webhook secret": None, **issued})
