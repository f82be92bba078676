"""Cursor pagination, newest first: stable while new transactions arrive."""

from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

LARGEST_PAGE = 100
"""Transactions on a page at the most."""


class NewestFirst(CursorPagination):
    """By id, which is in the order of time (UUID version 7) and unique: a page begins where the last one ended."""

    ordering = ("-id",)

    def __init__(self, limit: int | None) -> None:
        self.page_size = limit or 20

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of one of our links. Raises ValidationError for any other."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                UUID(str(cursor.position))
        except (NotFound, ValueError) as error:
            detail = ErrorDetail("Not a cursor: follow `next` and `previous` as they are.", "invalid")
            raise ValidationError({"cursor": [detail]}) from error
        return cursor

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})
