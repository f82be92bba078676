"""How the tests run a management command."""

import io
import json
from typing import Any

from django.core.management import call_command


def said(*words: str) -> str:
    """What a command prints."""
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def made(*words: str) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    found: dict[str, Any] = json.loads(said(*words, "--json"))
    return found
