"""Many rows at once: everything that a list's filter finds, in the background, with a progress bar."""

import re

from playwright.sync_api import Page, expect

from tests.browser.seed import MANY, REFERENCE
from tests.browser.visitor import sound, sound_in_every_look

FAILED = f"/admin/workers/job/?q={REFERENCE}&state=failed"


def choose_all(page: Page, action: str) -> None:
    """Choose everything that the list's filter finds, and what to do to it."""
    page.locator("#action-toggle").check()
    page.get_by_text(re.compile(r"Select all \d+")).click()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def test_the_page_that_asks_is_sound(visitor):
    sound_in_every_look(visitor, f"/admin/transactions/bulkrun/start/retry/?q={REFERENCE}&state=failed", "operator")


def test_500_rows_are_retried_with_a_progress_bar(at_work):
    at_work.goto(FAILED)
    choose_all(at_work, "Retry …")
    expect(at_work.get_by_text(f"{MANY} jobs").first).to_be_visible()
    at_work.get_by_label("Reason").fill("The endpoint is back")
    at_work.get_by_role("button", name="Start").click()

    expect(at_work.get_by_role("progressbar")).to_be_visible()
    sound(at_work)
    at_work.evaluate("window.stayed = true")
    expect(at_work.get_by_text(f"{MANY} of {MANY} jobs")).to_be_visible(timeout=60_000)
    expect(at_work.get_by_role("row").filter(has_text="Done")).to_contain_text(str(MANY))
    assert at_work.evaluate("window.stayed"), "the page was loaded anew"
    sound(at_work)


def test_the_runs_page_is_sound_once_it_is_over(visitor):
    """After the test above."""
    sound_in_every_look(visitor, "/admin/transactions/bulkrun/1/change/", "operator", shows=f"text={MANY} of {MANY}")
