"""Search in the menu."""

import pytest

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.mark.parametrize("page", ["x", "0", "99"])
def test_an_unknown_page_is_not_found(viewer, page):
    assert viewer.get("/admin/search/", {"s": "job", "page": page}).status_code == 404
