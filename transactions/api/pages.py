"""Cursor pagination, newest first: stable while new transactions arrive."""

from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

LARGEST_PAGE = 100
"""Maximum number of transactions per page."""


class NewestFirst(CursorPagination):
    """Pages ordered by `sort_id`: unique and in order of time, so a page starts where the last one ended."""

    ordering = ("-sort_id",)

    def __init__(self, limit: int | None) -> None:
        self.page_size = limit or 20

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor. Raises ValidationError unless it comes from a page's links."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                UUID(str(cursor.position))
        except (NotFound, ValueError) as error:
            detail = ErrorDetail("Must be a cursor from `next` or `previous`.", "invalid")
            raise ValidationError({"cursor": [detail]}) from error
        return cursor

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})
