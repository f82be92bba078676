"""Base of the commands that print what they did, and parsers of their options."""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from workers.foundation.encryption import EncryptedJSON


class JsonCommand(BaseCommand):
    """A command that prints its result as text, or as one JSON object with `--json`."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object")

    def answer(self, options: dict[str, Any], fields: dict[str, Any], text: str) -> None:
        """Print `fields` with `--json`, otherwise `text`."""
        self.stdout.write(json.dumps(fields) if options["json"] else text)

    def answer_issued(self, options: dict[str, Any], of: models.Model, values: Mapping[str, str | None]) -> None:
        """Print values by name, among them new keys and secrets; JSON also contains those that are None."""
        kind, width = str(of._meta.verbose_name), max(map(len, values))
        lines = [f"  {name:{width}}  {value}" for name, value in values.items() if value is not None]
        text = "\n".join(
            [f"{kind.capitalize()} {of}", *lines, "Store keys and secrets now. They cannot be shown again."]
        )
        self.answer(options, {kind: str(of)} | {name.lower().replace(" ", "_"): values[name] for name in values}, text)


def between(least: float, most: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """Return the type of an argument: a number within these limits."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:g}")

    return read


def existing(model: type[models.Model], field: str) -> Callable[[str], Any]:
    """Return the type of an argument: the row that has the argument in this field."""

    def find(name: str) -> Any:
        if (row := model._default_manager.filter(**{field: name}).first()) is None:
            raise argparse.ArgumentTypeError(f"there is no {model._meta.verbose_name} {name!r}: create it first")
        return row

    return find


@contextmanager
def checking(option: str) -> Iterator[None]:
    """Turn a validation error into a CommandError about this option; the message omits the value, a possible secret."""
    try:
        yield
    except (ValidationError, ValueError) as error:
        raise CommandError(f"{option}: {'; '.join(getattr(error, 'messages', [str(error)]))}") from error


def apply_settings(instance: models.Model, pairs: list[str], *, allowed: tuple[str, ...]) -> None:
    """Set the field of each KEY=VALUE of `--set`; a JSON field takes JSON, any other field its own text format.

    Raises CommandError, which omits the value because it may be secret.
    """
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in allowed:
            raise CommandError(f"--set {name}: give KEY=VALUE with one of: {', '.join(sorted(allowed))}")
        with checking(f"--set {name}"):
            setattr(instance, name, _value(instance._meta.get_field(name), text))


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
    return field.to_python(text.capitalize() if isinstance(field, models.BooleanField) else text)
