"""Parsing of request bodies: bounded in size, JSON objects only."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

MAX_BODY = 64 * 1024
"""Maximum size of a body in bytes."""


class BodyTooLarge(exceptions.APIException):
    """The body is larger than `MAX_BODY`."""

    problem = "body-too-large"


def read_body(request: HttpRequest) -> bytes:
    """Return the raw body; hold at most `MAX_BODY` + 1 bytes of it. Raises BodyTooLarge."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyTooLarge
    body = request.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise BodyTooLarge
    return body


class AnyAccept(DefaultContentNegotiation):
    """Content negotiation that treats an empty `Accept` header as absent."""

    def get_accept_list(self, request: Request) -> list[str]:
        # Without parameters, which no renderer needs: Python caches every charset name that it looks up.
        return [part.partition(";")[0].strip() for part in (request.META.get("HTTP_ACCEPT") or "*/*").split(",")]


class BoundedJSONParser(BaseParser):
    """Parser of a JSON object of at most 64 KiB. Raises BodyTooLarge, or ParseError with the reason."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = read_body((parser_context or {})["request"]._request)
        try:
            data = json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
        except RecursionError as error:
            raise exceptions.ParseError("The body is nested too deeply.") from error
        except ValueError as error:  # includes UnicodeDecodeError
            raise exceptions.ParseError(f"The body is invalid JSON: {error}.") from error
        if not isinstance(data, dict):
            raise exceptions.ParseError("The body must be a JSON object.")
        return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; reject duplicate keys. Raises ValueError."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object contains a duplicate key")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
