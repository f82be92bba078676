"""The search in the menu."""

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("page", ["x", "0", "99"])
def test_a_page_that_there_is_not_is_not_found(viewer, page):
    assert viewer.get("/admin/search/", {"s": "job", "page": page}).status_code == 404
