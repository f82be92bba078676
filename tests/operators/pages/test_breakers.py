"""Operators see what circuit breakers hold back, and which may be closed."""

import pytest
from django.db.models.functions import Now

from workers.models import Breaker

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
PROVIDERS = "/admin/providers/provider/"


@pytest.fixture
def opened(third):
    """The breaker of the creates of `third`, open."""
    return Breaker.objects.create(
        lane=third.provider.lane, kind="create", runs=20, failures=15, opened_at=Now(), probe_at=Now()
    )


def page_of(third):
    return f"{PROVIDERS}{third.provider.pk}/change/"


def test_the_page_says_what_is_held_back_and_why(viewer, third, opened):
    page = viewer.get(page_of(third)).content.decode()

    assert "open: calls suspended" in page
    assert "15 of 20 runs failed" in page
    assert "Close breaker" not in page


def test_the_list_says_it_too(viewer, third, opened):
    def is_open():
        page = viewer.get(PROVIDERS).content.decode()
        return "circuit breaker open" in page.split("field-state")[1].split("</td>")[0]

    assert is_open()
    Breaker.objects.update(opened_at=None, probe_at=None)
    assert not is_open()


def test_an_open_one_can_be_closed_and_no_other(admin_client, third, opened):
    page = admin_client.get(page_of(third)).content.decode()

    assert "Close breaker of create" in page
    assert "Close breaker of track" not in page
