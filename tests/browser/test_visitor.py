"""Tests of the visitor: it detects faulty pages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.visitor import NARROW, Visitor, check_page

pytestmark = pytest.mark.slow

BAD = """<!doctype html><html lang="en"><title>Bad</title><main><h1>Bad</h1>
<img alt="" src="http://localhost:1/elsewhere.png"> <input name="unlabelled">
<p style="color: #ccc">Pale</p> <pre style="width: 500px">Wide</pre>
<script>console.warn("odd"); throw new Error("broken")</script></main>"""


@pytest.fixture
def tried(browser, stack) -> Iterator[Visitor]:
    visitor = Visitor(browser, stack.url, others=[], sessions={})
    yield visitor
    visitor.leave()


@pytest.fixture
def bad(tried) -> Page:
    page: Page = tried.page(size=NARROW)
    page.route("**/bad", lambda route: route.fulfill(body=BAD, content_type="text/html"))
    page.goto("/bad")
    return page


@pytest.mark.parametrize(
    "complaint",
    [
        "warning on the console: odd",
        "an error in a script: broken",
        "a request to another host: http://localhost:1/elsewhere.png",
        "no answer: GET http://localhost:1/elsewhere.png",
    ],
)
def test_the_visitor_complains_about_a_faulty_page(bad, tried, complaint):
    assert any(complaint in one for one in tried.leave())


def test_tolerated_complaints_are_not_reported(bad, tried):
    tried.tolerated = ["odd", "broken", "localhost:1"]

    assert tried.leave() == []


@pytest.mark.parametrize("fault", ["label:", "color-contrast:", "px of 390"])
def test_a_page_with_a_fault_is_not_accessible(bad, fault):
    with pytest.raises(AssertionError, match=fault):
        check_page(bad)
