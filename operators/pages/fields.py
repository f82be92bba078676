"""Form fields of the settings pages."""

import json
from typing import Any

from django import forms
from django.db import models
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from workers.foundation.fields import HttpUrlField


class ReadableJSON(forms.JSONField):
    """JSON field that shows one setting a line."""

    def prepare_value(self, value: Any) -> Any:
        if value is None:
            return ""
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class WriteOnlyTextInput(UnfoldAdminTextInputWidget):
    """Text input that never shows its value."""

    def __init__(self) -> None:
        super().__init__(attrs={"autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> None:
        return None


class WriteOnlyTextarea(UnfoldAdminTextareaWidget):
    """Text area that never shows its value."""

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"})

    def format_value(self, value: Any) -> None:
        return None


WIDGETS = {
    HttpUrlField: {"widget": UnfoldAdminTextInputWidget},
    models.JSONField: {"form_class": ReadableJSON, "widget": UnfoldAdminTextareaWidget},
}
"""Form fields and widgets of the settings pages, by model field."""
