"""Operators see what circuit breakers hold back, and may close them."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models.functions import Now

from tests.admin.conftest import signed_in
from workers.models import Breaker

pytestmark = pytest.mark.django_db
PROVIDERS = "/admin/transactions/provider/"


@pytest.fixture
def opened(third):
    """The breaker of the creates of `third`, open."""
    return Breaker.objects.create(
        lane=third.provider.lane, kind="create", runs=20, failures=15, opened_at=Now(), probe_at=Now()
    )


@pytest.fixture
def closer(db):
    return signed_in("closer", "close_breaker")


def page_of(third):
    return f"{PROVIDERS}{third.provider.pk}/change/"


def close_page(third):
    return f"{PROVIDERS}{third.provider.pk}/breakers/close/"


def test_the_page_says_what_is_held_back_and_why(viewer, third, opened):
    page = viewer.get(page_of(third)).content.decode()

    assert "open: held back" in page
    assert "15 of 20 runs failed" in page
    assert "Close the open ones" not in page


def test_the_list_says_it_too(viewer, third, opened):
    def held_back():
        return "held back" in viewer.get(PROVIDERS).content.decode().split("field-state")[1].split("</td>")[0]

    assert held_back()
    Breaker.objects.update(opened_at=None, probe_at=None)
    assert not held_back()


def test_closing_asks_and_then_does_it_on_record(closer, third, opened):
    assert close_page(third) in closer.get(page_of(third)).content.decode()
    assert "goes on at once" in closer.get(close_page(third)).content.decode()
    assert Breaker.objects.get().opened_at is not None

    answer = closer.post(close_page(third), follow=True)

    assert "Closed" in answer.content.decode()
    assert Breaker.objects.get().opened_at is None
    assert "Closed 1 circuit breaker" in LogEntry.objects.get().get_change_message()


def test_closing_twice_does_no_more_than_once(closer, third, opened):
    closer.post(close_page(third))

    answer = closer.post(close_page(third), follow=True)

    assert "None is open" in answer.content.decode()
    assert LogEntry.objects.count() == 1


def test_who_may_not_cannot(viewer, third, opened):
    assert viewer.post(close_page(third)).status_code == 403
    assert Breaker.objects.get().opened_at is not None
