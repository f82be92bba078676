"""The page at `/`: what it says, to strangers as well, and what it may cost."""

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
    """Grows by each look at the one part that there is, and that is well."""
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


def test_it_links_to_what_there_is(looks):
    assert re.findall(r'<a href="([^"]*)"', page()) == ["/docs", "/v1/schema", "/admin/"]


def test_all_that_it_loads_is_there(looks):
    for address in re.findall(r'(?:src|<link [^>]*href)="([^"]*)"', page()):
        with closing(get(address)) as answer:
            assert answer.status_code == 200, address


def test_it_links_to_the_sandbox_where_there_is_one(looks, settings):
    settings.SANDBOX_URL = "http://127.0.0.1:9100"

    assert '<a href="http://127.0.0.1:9100">' in page()


def test_it_says_that_all_is_well(looks):
    assert "Ready." in page()


def test_it_says_that_something_is_wrong_and_not_what():
    with database_away():
        text = page()

    assert "Not ready." in text
    assert "database" not in text.lower() and "error" not in text.lower()


def test_a_crowd_of_strangers_has_it_look_once(looks):
    for _ in range(5):
        page()

    assert looks == ["part"]


def test_nobody_waits_while_another_looks(looks):
    with health._looking:
        assert "Not ready." in page()

    assert looks == []


def test_it_asks_the_database_for_nothing_but_health(looks, django_assert_num_queries):
    with django_assert_num_queries(0):
        page()


def test_it_can_only_be_read(looks):
    assert Web().post("/").status_code == 405


def test_the_docs_are_found_with_a_slash_too():
    answer = get("/docs/")

    assert (answer.status_code, answer["Location"]) == (302, "/docs")
