"""Reading of bodies that providers send, in answers and webhooks: encoding, JSON, status, reason.

The status line is read first, by the adapter. A body adds what it says and never changes what the status line proves.
"""

import json
import re
from typing import Any

from providers.models import Provider
from providers.status import Status
from workers.foundation.text import as_storable

REASON_LENGTH = 500
"""Limit in characters on a provider's reason."""
WORD_LENGTH = 100
"""Limit in characters on a provider's name of a status."""
MAX_DIGITS = 300
"""Numbers with more digits are read as text: Python refuses to convert some thousands of digits."""
REASON_FIELDS = (
    "failure_reason", "decline_reason", "status_reason", "reason", "detail", "message", "errorMessage", "error_message",
    "error_description", "error", "errors", "failure", "title",
)  # fmt: skip
"""Usual fields of a reason, the most specific one first; nested objects and lists have the same ones."""

_CHARSET = re.compile(
    r"charset\s*=\s*[\"']?((?:utf-?(?:16|32)(?:-?[bl]e)?|iso-8859-\d{1,2}|latin-?1|windows-125\d))\b", re.I
)


class NotJson(ValueError):
    """The body is no JSON."""


def parse_json(body: bytes, content_type: str = "") -> Any:
    """Parse a JSON body; raise NotJson for another one.

    Bytes that are invalid in the body's charset are replaced: one of them in a field that is not read must not hide the
    others. The charset is that of a byte order mark, else that of the content type, else UTF-8.
    """
    charset: str = json.detect_encoding(body)
    if charset == "utf-8" and (named := _CHARSET.search(content_type)):
        charset = named[1]
    try:
        return json.loads(body.decode(charset, "replace").lstrip("\ufeff"), parse_int=_integer)
    except (ValueError, LookupError, RecursionError) as error:
        raise NotJson("The body is invalid JSON.") from error


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def at_path(body: Any, path: str) -> Any:
    """Return the value at a dotted path in nested objects; None if there is none."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def word_of(value: Any) -> str:
    """Return a status as the key under which a status map has it; empty for a value that names no status.

    `true` and `2` map under `"true"` and `"2"`.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    return as_storable(str(value).strip(), WORD_LENGTH) if isinstance(value, str | int | float) else ""


def reading_of(provider: Provider, value: Any) -> tuple[Status, str]:
    """Return the status that a value means, and the provider's word for it if the status map lacks it.

    The status is pending then, and without a word: many providers answer a create with an empty body.
    """
    word = word_of(value)
    status = status_of(provider, word) if word else Status.PENDING
    return status or Status.PENDING, "" if status else word


def status_of(provider: Provider, word: str) -> Status | None:
    """Return the status that a provider's word means; None if the status map lacks it. An empty map has our words."""
    meaning = (provider.status_map or {status: status for status in Status.values}).get(word)
    return Status(meaning) if meaning in Status.values else None


def reason_of(body: Any) -> str:
    """Return the provider's reason, wherever it stands in a body; empty if there is none."""
    return as_storable(_reason(body, 4), REASON_LENGTH)


def _reason(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if depth and isinstance(value, list):
        return next((reason for one in value[:10] if (reason := _reason(one, depth - 1))), "")
    if depth and isinstance(value, dict):
        inner = [value.get(name) for name in REASON_FIELDS] + [
            one for one in value.values() if isinstance(one, dict | list)
        ]
        return next((reason for one in inner if (reason := _reason(one, depth - 1))), "")
    return ""
