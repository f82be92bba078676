"""Bodies of webhooks: content codings, JSON and forms."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from providers.answers import NotJson, charset_of, parse_json, text_of
from providers.models import Provider
from transactions.api.parsing import MAX_BODY, BodyTooLarge
from webhooks.incoming.authentication import Refused, Sender, authenticate
from workers.foundation.compression import decompress

FORM = "application/x-www-form-urlencoded"
CODINGS = ("gzip", "x-gzip", "deflate")
MAX_CODINGS = 4
"""Limit on the codings of a body, because it is decompressed before its sender is proven."""
MAX_LEVELS = 20
"""Limit on the levels in the name of a form field; deeper fields are left out."""

_LEVELS = re.compile(r"[^\[\].]+")


class Malformed(Exception):
    """The body of an authentic webhook cannot be parsed, or contradicts its URL."""


class UnknownCoding(Malformed):
    """The body of an authentic webhook has a content coding that is not supported."""


def open_authentic(
    provider: Provider, headers: Mapping[str, str], body: bytes, *, url: tuple[UUID, str] | None
) -> tuple[Sender, bytes]:
    """Return the proven sender of a webhook and its decompressed body.

    The signature is over the body as sent, or over the decompressed one: GetStream and QuickNode compress after they
    sign. Raises Refused, Malformed, UnknownCoding and BodyTooLarge, the last three only for an authentic webhook.
    """
    coding = headers.get("content-encoding", "")
    try:
        sender = authenticate(provider, headers, body, url=url)
    except Refused as refused:
        if refused.args != ("wrong_signature",):
            raise
        try:
            opened = decompressed(body, coding)
        except (Malformed, BodyTooLarge):
            raise refused from None
        if opened is body:
            raise
        return authenticate(provider, headers, opened, url=url), opened
    return sender, decompressed(body, coding)


def decompressed(body: bytes, coding: str) -> bytes:
    """Return a body without its content codings, at most MAX_BODY bytes. Raises UnknownCoding, Malformed, BodyTooLarge.

    The header is not signed, and proxies change it, so the first bytes count more: JSON is returned unchanged under any
    label, and gzip is decompressed without one.
    """
    names = [name for part in coding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if not names and body.startswith(b"\x1f\x8b"):
        names = ["gzip"]
    if not names or _begins_json(body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1].decode("latin-1")):
        return body
    if len(names) > MAX_CODINGS or not set(names) <= set(CODINGS):
        raise UnknownCoding("The body has an unknown content coding: send it as gzip or deflate, or uncompressed.")
    opened = decompress(body, ",".join(names), MAX_BODY + 1, whole=True) if body else body
    if opened is None:
        raise Malformed("The body cannot be decompressed.")
    if len(opened) > MAX_BODY:
        raise BodyTooLarge
    return opened


def parse(body: bytes, content_type: str) -> Any:
    """Return the content of a JSON or form body; None if it is empty. Raises Malformed.

    Senders label JSON as anything, so only a body that does not begin like JSON is read as a form.
    """
    text = text_of(body, content_type).strip()
    if not text:
        return None
    if content_type.partition(";")[0].strip().lower() == FORM and not _begins_json(text):
        return _form(text, charset_of(content_type) or "utf-8")
    try:
        return parse_json(body, content_type)
    except NotJson as error:
        raise Malformed("The body is neither JSON nor labelled as a form.") from error


def _begins_json(text: str) -> bool:
    return text.startswith(("{", "["))


def _form(text: str, charset: str) -> dict[str, Any]:
    """Return the fields of a form: `a[b]` and `a.b` are nested; of equal names the last one counts."""
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, encoding=charset, errors="replace"):
        levels = _LEVELS.findall(name)
        if 0 < len(levels) <= MAX_LEVELS:
            inner = fields
            for level in levels[:-1]:
                if not isinstance(inner.get(level), dict):
                    inner[level] = {}
                inner = inner[level]
            inner[levels[-1]] = _field(value)
    return fields


def _field(value: str) -> Any:
    """Return the value of a form field; one that is a JSON object or list is parsed."""
    try:
        return parse_json(value.encode()) if _begins_json(value.strip()) else value
    except NotJson:
        return value
