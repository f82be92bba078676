"""System checks on the settings of clients."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ValidationError

from clients.models import validate_rate


@register
def check_rate_limit(**_: Any) -> list[CheckMessage]:
    """Check that CLIENT_RATE_LIMIT is a rate."""
    try:
        validate_rate(settings.CLIENT_RATE_LIMIT)
    except ValidationError as error:
        return [Error("CLIENT_RATE_LIMIT is not a rate", hint=str(error.message), id="clients.E001")]
    return []
