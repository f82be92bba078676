"""System checks as rules: each rule names what is wrong, its id and a hint, and stops the boot."""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ValidationError
from django.db import Error as DatabaseError
from django.db import connection

Rule = tuple[object, str, str, str]
"""A rule is an error if its first value is true; then come the id, the message and the hint."""


def register_rules(rules: Callable[[], Iterable[Rule]]) -> None:
    """Register a function that yields rules as a system check."""

    @register
    def check(**_: Any) -> list[CheckMessage]:
        return [Error(message, hint=hint, id=id) for is_wrong, id, message, hint in rules() if is_wrong]


def register_row_checks(find: Callable[[], Iterable[CheckMessage]]) -> None:
    """Register a function that finds faulty rows as a check of the database.

    It runs with `manage.py check --database default`, and when a web or worker process starts. It finds nothing while
    the database is away or not migrated.
    """

    @register(Tags.database)
    def check(databases: Any = None, **_: Any) -> list[CheckMessage]:
        try:
            return list(find()) if databases else []
        except DatabaseError:
            connection.close()
            return []


def error_of(validate: Callable[[Any], object], value: Any) -> str:
    """Return the message of the ValueError or ValidationError that `validate` raises, or an empty text."""
    try:
        validate(value)
    except ValidationError as error:
        return " ".join(error.messages)
    except ValueError as error:
        return str(error)
    return ""
