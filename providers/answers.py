"""Reading of bodies that providers send, in answers and webhooks: encoding, JSON, status, reason.

The status line is read first, by the adapter. A body adds what it says and never changes what the status line proves.
"""

import json
import re
from collections.abc import Collection
from typing import Any

from providers.models import Provider
from providers.status import Status
from workers.foundation.text import as_storable
from workers.outbound import hide

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

MAX_DEPTH = 100
"""Values nested deeper in a body with too many levels are read as null: Python refuses some hundreds of levels."""

_CHARSET = re.compile(
    r"charset\s*=\s*[\"']?(iso-?8859-(?:1[013-6]|[1-9])|latin-?1|windows-(?:125[0-8]|874)|cp125[0-8]|koi8-[ru]|gbk|gb2312"
    r"|gb18030|big5|shift[-_]jis|euc-jp|euc-kr)(?![\w-])",
    re.I,
)
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.S)


class NotJson(ValueError):
    """The body is no JSON."""


def charset_of(content_type: str) -> str:
    """Return the charset in a content type in lower case; empty for UTF-8 and for unknown ones.

    Only these few are looked up, because Python caches every name. JSON in UTF-16 and UTF-32 shows by its bytes.
    """
    named = _CHARSET.search(content_type)
    return named[1].lower() if named else ""


def text_of(body: bytes, content_type: str = "") -> str:
    """Decode a body by its byte order mark, else by the charset in the content type, else as UTF-8.

    Invalid bytes are replaced: one of them in a field that is not read must not hide the others.
    """
    charset: str = json.detect_encoding(body)
    if charset == "utf-8":
        charset = charset_of(content_type) or charset
    return body.decode(charset, "replace").strip("\ufeff\x00")


def parse_json(body: bytes, content_type: str = "") -> Any:
    """Parse a JSON body, decoded by `text_of`; raise NotJson for another one.

    Faults inside one value cost only that value: control characters, a backslash that is half of a character in an
    unnamed charset, too many levels.
    """
    text = text_of(body, content_type)
    try:
        return _loads(text)
    except RecursionError:
        repaired = _shallow(text)
    except ValueError:
        repaired = text.replace("\ufffd\\", "\ufffd")
    try:
        return _loads(repaired)
    except (ValueError, RecursionError) as error:
        raise NotJson("The body is invalid JSON.") from error


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_integer)


def _shallow(text: str) -> str:
    """Replace the values that are nested deeper than MAX_DEPTH by null."""
    kept, depth, start = [], 0, 0
    for token in _TOKENS.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [text[start : token.start()], "null"]
        elif token[0] in ("]", "}"):
            if depth == MAX_DEPTH + 1:
                start = token.end()
            depth -= 1
    return "".join(kept) + (text[start:] if depth <= MAX_DEPTH else "")


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
    """Return the status that a provider's word means; None if it is empty or the status map lacks it.

    An empty map has our words.
    """
    meaning = (provider.status_map or {status: status for status in Status.values}).get(word)
    return Status(meaning) if word and meaning in Status.values else None


def reason_of(body: Any, hidden: Collection[str] = ()) -> str:
    """Return the provider's reason, wherever it stands in a body; empty if there is none.

    The texts in `hidden` are masked before the reason is shortened: half a secret would not be found after it.
    """
    return as_storable(hide(_reason(body, 4), hidden), REASON_LENGTH)


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
