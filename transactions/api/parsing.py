"""Reading request bodies: bounded, and JSON objects only."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

MAX_BODY = 64 * 1024
"""Bytes of a body that are accepted."""


class BodyTooLarge(exceptions.APIException):
    """The body is larger than `MAX_BODY`."""

    status_code = 413
    problem = "body-too-large"


def read_body(request: HttpRequest) -> bytes:
    """The raw body, of which no more than `MAX_BODY` + 1 bytes are ever held. Raises BodyTooLarge."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyTooLarge
    body = request.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise BodyTooLarge
    return body


class AnyAccept(DefaultContentNegotiation):
    """An empty Accept header is none."""

    def get_accept_list(self, request: Request) -> list[str]:
        # Without parameters: none is asked for, and Python keeps each name of a charset that it is asked for.
        return [part.partition(";")[0].strip() for part in (request.META.get("HTTP_ACCEPT") or "*/*").split(",")]


class BoundedJSONParser(BaseParser):
    """A JSON object of at most 64 KiB. Raises BodyTooLarge, or ParseError with what is wrong."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        body = read_body((parser_context or {})["request"]._request)
        try:
            data = json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
        except RecursionError as error:
            raise exceptions.ParseError("The body is nested too deeply.") from error
        except ValueError as error:  # bad UTF-8 is one, too
            raise exceptions.ParseError(f"The body is not JSON: {error}.") from error
        if not isinstance(data, dict):
            raise exceptions.ParseError("The body is JSON, but not an object: send {…}.")
        return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What says two things under one name means neither."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
