"""Masking of secrets in texts, by their form. A text that is known to hold a secret should not be logged at all."""

import re
from typing import Any

_NAMED = re.compile(
    r"(?i)([\"'][\w-]*(?:api[_-]?key|secret|token|password|authorization|cookie)[\w-]*[\"']\s*[:=]\s*[\"'])(?:[^\"'\\]|\\.)+"
    r"|((?<![\w-])(?:authorization|(?:set-)?cookie)\s*[:=]\s*)[^\r\n\"']+"
    r"|(whsec_|bearer\s+|basic\s+|sk_)[^\s\",}]+"
    r"|(txk_[\w-]{8})[\w-]+"  # the beginning tells keys apart
)
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s\"'<>]*@")
_QUERY = re.compile(r"(/[^\s\"'<>?#]*)(?<!\()[?#][^\s\"'<>]+")
_WEBHOOK = re.compile(r"(?i)(/webhooks/[^/\s\"'<>]+/)[^\s\"'<>]+")
_DIGEST = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_DATABASE = re.compile(
    r"(?s)((?:^|\n|\\n)(?:LINE \d+|DETAIL|CONTEXT|QUERY|HINT):).*?"
    r"(?=\n\s*\n(?:The above exception|During handling of the above)|\Z)"
)
"""The parts of an error of PostgreSQL that quote the statement, whose values psycopg2 has filled in, or a row."""
PROBES = ("/healthz", "/readyz", "/metrics")


def mask_secrets(text: str) -> str:
    """Replace values that follow the name of a secret or of its header, and keys in their usual forms, by `***`."""
    return _NAMED.sub(r"\1\2\3\4***", text)


def mask_urls(text: str) -> str:
    """Replace users, passwords, queries and fragments of URLs by `***`."""
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def mask_all(text: str) -> str:
    """Mask secrets, URLs, paths of webhooks, SHA-256 digests, and the statements and rows in errors of PostgreSQL."""
    text = mask_urls(_WEBHOOK.sub(r"\1***", _DATABASE.sub(r"\1 ***", text)))
    return _DIGEST.sub("***", mask_secrets(text))


def route_of(request: Any) -> str:
    """Return the pattern of the URL of a Django request: unlike its path, it holds nothing that the sender wrote."""
    if match := getattr(request, "resolver_match", None):
        return f"/{match.route}"
    return request.path if request.path in PROBES else "an unknown path"
