"""System checks of the clients' rate limit and of their callback secrets."""

import shlex
from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from clients.models import UNSIGNED, Client, validate_rate, without_callback_secret
from workers.foundation.checks import Rule, error_of, register_row_checks, register_rules


@register_rules
def rate_limit() -> Iterator[Rule]:
    error = error_of(validate_rate, settings.CLIENT_RATE_LIMIT)
    yield error, "clients.E001", "CLIENT_RATE_LIMIT is not a rate", error


@register_row_checks
def unsigned_clients() -> Iterator[CheckMessage]:
    for client in Client.objects.filter(without_callback_secret()):
        yield Warning(
            f"Client {client} {UNSIGNED}",
            hint=f"Add one on its page in the admin, or run manage.py createsecret --client {shlex.quote(client.name)}",
            id="clients.W001",
        )
