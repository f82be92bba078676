"""Circuit breakers on the pages of providers."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from workers.models import Breaker

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
PROVIDERS = "/admin/providers/provider/"


@pytest.fixture
def opened(third):
    """The open circuit breaker of `third` for creates."""
    return Breaker.objects.create(
        lane=third.provider.lane, kind="create", runs=20, failures=15, opened_at=Now(), probe_at=Now()
    )


def page_of(third):
    return f"{PROVIDERS}{third.provider.pk}/change/"


def test_the_page_shows_an_open_breaker_and_the_failed_runs(viewer, third, opened):
    page = viewer.get(page_of(third)).content.decode()

    assert "open: calls suspended" in page
    assert "15 of 20 runs failed" in page
    assert "Close breaker" not in page


def test_the_list_shows_an_open_breaker(viewer, third, opened):
    def is_open():
        page = viewer.get(PROVIDERS).content.decode()
        return "circuit breaker open" in page.split("field-state")[1].split("</td>")[0]

    assert is_open()
    Breaker.objects.update(opened_at=None, probe_at=None)
    assert not is_open()


@pytest.mark.parametrize(("kind", "runs", "shown"), [("create", 3, True), ("track", 40, True), ("track", 2, False)])
def test_the_list_shows_a_failing_provider(viewer, third, kind, runs, shown):
    ago = Now() - timedelta(minutes=5)
    Breaker.objects.create(lane=third.provider.lane, kind=kind, failing_since=ago, failed_runs=runs, failed_at=Now())

    assert (">failing<" in viewer.get(PROVIDERS).text) is shown
    assert f">{runs}, from " in viewer.get(page_of(third)).text


def test_a_breaker_that_is_turned_off_is_shown_as_off(viewer, third, opened):
    type(third.provider).objects.update(circuit_breaker=False)

    assert "<td>off</td>" in viewer.get(page_of(third)).text


def test_only_an_open_breaker_can_be_closed(admin_client, third, opened):
    page = admin_client.get(page_of(third)).content.decode()

    assert "Close breaker of create" in page
    assert "Close breaker of track" not in page
