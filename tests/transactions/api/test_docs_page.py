"""Pages for people: the interactive documentation, and a page for each kind of problem."""

import re
from contextlib import closing

import pytest
from django.test import Client as Web

from transactions.api.problems import PROBLEMS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow,
]  # closing a response checks the connection, even if it was not used


@pytest.fixture
def page() -> str:
    answer = Web().get("/docs", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_needs_no_script_or_style_in_the_page(page):
    """A Content-Security-Policy that allows only our own files blocks them."""
    assert re.findall(r"<script(?! src=)|<style|style=|\son\w+=|javascript:", page) == []


def test_the_service_serves_all_files_that_the_page_loads(page):
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)

    assert len(loaded) == 5
    for address in loaded:
        assert address.startswith("/") and not address.startswith("//")
        with closing(Web().get(address)) as answer:
            assert answer.status_code == 200, address


def test_its_script_reads_our_description_and_calls_no_other_host():
    script = Web().get("/docs?script=").content.decode()

    assert 'url: "/v1/schema"' in script
    assert '"validatorUrl": null' in script
    assert "://" not in script


@pytest.mark.parametrize("slug", PROBLEMS)
def test_the_url_of_a_problem_describes_it(slug):
    answer = Web().get(f"/problems/{slug}")

    assert answer.status_code == 200
    assert PROBLEMS[slug].title in answer.content.decode() and PROBLEMS[slug].advice in answer.content.decode()


def test_there_is_no_page_about_an_unknown_problem():
    assert Web().get("/problems/nothing").status_code == 404
