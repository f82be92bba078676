"""Form fields of the settings' pages."""

import json
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput


class ReadableJSON(forms.JSONField):
    """One setting a line."""

    def prepare_value(self, value: Any) -> Any:
        if value is None:
            return ""
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class WriteOnlyTextarea(forms.Textarea):
    """Never shows what it holds, nor what was typed into it a moment ago."""

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 3, "cols": 80, "autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> None:
        return None


def validate_headers(headers: Any) -> None:
    """Raise ValidationError unless these can be sent as HTTP headers; one that cannot would end every call."""
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValidationError(f"Not a header's name: {name!r}.")
        if not re.fullmatch(r"[\t\x20-\x7e]*", str(value)):
            raise ValidationError(f"The value of {name} has characters that no header may have.")
