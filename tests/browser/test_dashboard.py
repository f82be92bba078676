"""The dashboard in a browser: figures, chart and automatic refresh."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

CONTRADICTED = "1 transaction needs review: the provider contradicted a final status."


def test_a_figure_links_to_its_list(at_work):
    at_work.goto("/admin/")
    at_work.get_by_role("link", name=CONTRADICTED).click()

    expect(at_work.get_by_role("row")).to_have_count(2)  # the header and one transaction
    expect(at_work.get_by_role("row").last).to_contain_text("order-contradicted")


def test_the_chart_has_a_text_alternative(at_work):
    at_work.goto("/admin/")

    expect(at_work.get_by_role("img", name="Last hour")).to_be_visible()


def test_the_dashboard_refreshes_without_a_reload(at_work):
    at_work.goto("/admin/")
    made = at_work.locator("time").first
    before = made.inner_text()
    at_work.evaluate("window.stayed = true")

    expect(made).not_to_have_text(before)
    assert at_work.evaluate("window.stayed")


def test_the_dashboard_works_without_javascript(visitor):
    page = visitor.page("operator", java_script_enabled=False)
    page.goto("/admin/")

    expect(page.get_by_text(CONTRADICTED)).to_be_visible()
