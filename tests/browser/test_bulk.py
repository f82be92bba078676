"""Bulk runs: an action on all rows of a filtered list, in the background, with a progress bar."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.seed import MANY, REFERENCE
from tests.browser.visitor import check_layouts, check_page

pytestmark = pytest.mark.slow

FAILED = f"/admin/workers/job/?q={REFERENCE}&state=failed"


def choose_all(page: Page, action: str) -> None:
    """Select all rows of the filtered list, and start the action."""
    page.locator("#action-toggle").check()
    page.get_by_text(re.compile(r"Select all \d+")).click()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def test_the_confirmation_page_is_accessible(visitor):
    check_layouts(visitor, f"/admin/operators/bulkrun/start/retry/?q={REFERENCE}&state=failed", "operator")


def test_500_rows_are_retried_with_a_progress_bar(at_work):
    at_work.goto(FAILED)
    choose_all(at_work, "Retry …")
    expect(at_work.get_by_text(f"{MANY} jobs").first).to_be_visible()
    at_work.get_by_label("Reason").fill("The endpoint is back")
    at_work.get_by_role("button", name="Start").click()

    expect(at_work.get_by_role("progressbar")).to_be_visible()
    check_page(at_work)
    at_work.evaluate("window.stayed = true")
    expect(at_work.get_by_text(f"{MANY} of {MANY} jobs")).to_be_visible(timeout=60_000)
    expect(at_work.get_by_role("row").filter(has_text="Done")).to_contain_text(str(MANY))
    assert at_work.evaluate("window.stayed"), "the page was reloaded"
    check_page(at_work)


def test_the_page_of_a_finished_run_is_accessible(visitor):
    """Runs after the test above."""
    check_layouts(visitor, "/admin/operators/bulkrun/1/change/", "operator", shows=f"text={MANY} of {MANY}")
