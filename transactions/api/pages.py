"""Cursor pagination, newest first: stable while new transactions arrive."""

from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.response import Response


class NewestFirst(CursorPagination):
    """By id, which is in the order of time (UUID version 7) and unique: a page begins where the last one ended."""

    ordering = ("-id",)
    page_size = 20
    page_size_query_param = "limit"
    max_page_size = 100

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})
