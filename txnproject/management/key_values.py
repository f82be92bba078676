"""`--set KEY=VALUE` of the commands: sets fields of a model by name, with a clear error for each."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import models

from workers.foundation.encryption import EncryptedJSON


def apply_settings(instance: models.Model, pairs: list[str], *, allowed: tuple[str, ...]) -> None:
    """Set each KEY=VALUE on `instance`; a JSON field takes JSON, any other field its own text format.

    Raises CommandError, which omits the value because it may be secret.
    """
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in allowed:
            raise CommandError(f"--set {name}: give KEY=VALUE with one of: {', '.join(sorted(allowed))}")
        try:
            setattr(instance, name, _value(instance._meta.get_field(name), text))
        except (ValidationError, ValueError) as error:
            raise CommandError(f"--set {name}: {'; '.join(getattr(error, 'messages', [str(error)]))}") from error


def save_checked(instance: models.Model) -> None:
    """Validate and insert a new row. Raises CommandError with every invalid field."""
    try:
        instance.full_clean()
    except ValidationError as error:
        wrong = [f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()]
        raise CommandError("\n".join(wrong)) from error
    instance.save(force_insert=True)


def _value(field: Any, text: str) -> Any:
    if isinstance(field, models.JSONField | EncryptedJSON):
        value = json.loads(text)
        if not isinstance(value, dict) and not (value is None and field.null):
            raise ValueError('give a JSON object, such as {"name": "value"}')
        return value
    if isinstance(field, models.BooleanField):
        text = text.capitalize()
    return field.to_python(text)
