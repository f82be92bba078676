"""The landing page: content and cost."""

import re
from contextlib import closing
from typing import Any

import pytest
from django.test import Client as Web

from tests.transactions.api.outages import database_away
from txnproject import health

pytestmark = pytest.mark.django_db  # closing an answer looks after the connection, whether or not it was used


@pytest.fixture(autouse=True)
def _nobody_has_looked(monkeypatch) -> None:
    monkeypatch.setattr(health, "_found", (-health.FRESH, False))


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """Replace the parts by one that is well; the list gets an entry for each check of it."""
    seen: list[str] = []

    def look() -> dict[str, bool]:
        seen.append("part")
        return {"ok": True}

    monkeypatch.setattr(health, "_parts", lambda: [("part", look())])
    return seen


def get(path: str = "/") -> Any:
    return Web().get(path)


def page() -> str:
    answer = get()
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def test_its_links_exist(looks):
    assert re.findall(r'<a href="([^"]*)"', page()) == ["/docs", "/v1/schema", "/admin/"]


def test_the_files_that_it_loads_exist(looks):
    for address in re.findall(r'(?:src|<link [^>]*href)="([^"]*)"', page()):
        with closing(get(address)) as answer:
            assert answer.status_code == 200, address


def test_it_links_to_the_sandbox_if_there_is_one(looks, settings):
    settings.SANDBOX_URL = "http://127.0.0.1:9100"

    assert '<a href="http://127.0.0.1:9100">' in page()


def test_it_shows_that_the_service_is_ready(looks):
    assert "Ready." in page()


def test_it_shows_that_the_service_is_not_ready_without_details():
    with database_away():
        text = page()

    assert "Not ready." in text
    assert "database" not in text.lower() and "error" not in text.lower()


def test_many_visitors_cost_one_check(looks):
    for _ in range(5):
        page()

    assert looks == ["part"]


def test_visitors_do_not_wait_for_a_running_check(looks):
    with health._looking:
        assert "Not ready." in page()

    assert looks == []


def test_it_makes_no_queries_besides_the_checks(looks, django_assert_num_queries):
    with django_assert_num_queries(0):
        page()


def test_it_can_only_be_read(looks):
    assert Web().post("/").status_code == 405


def test_the_docs_are_found_with_a_slash_too():
    answer = get("/docs/")

    assert (answer.status_code, answer["Location"]) == (302, "/docs")
