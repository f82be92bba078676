"""Actions of an operator on the pages, and limits of a viewer."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import check_layouts, check_page
from tests.servers import until

pytestmark = pytest.mark.slow


def open_transaction(page: Page, id_: str) -> None:
    page.goto(f"/admin/transactions/transaction/{id_}/change/")


def shows_after_a_while(page: Page, text: str) -> None:
    """Reload the page until it shows this text."""

    def shown() -> bool:
        page.reload()
        return page.get_by_text(text).first.is_visible()

    until(shown, seconds=30)


def test_the_confirmation_page_is_accessible(visitor, ours):
    path = f"/admin/transactions/transaction/{ours['order-contradicted']}/do/set_status/"
    check_layouts(visitor, path, "operator")


def test_an_operator_retries_a_failed_job_and_sees_it_finish(at_work, ours):
    open_transaction(at_work, ours["order-not_notified"])
    expect(at_work.locator("#review")).to_contain_text("a job was given up")
    at_work.get_by_role("link", name="Retry job").click()

    expect(at_work.get_by_text("It sends demo the current status (completed)")).to_be_visible()
    at_work.get_by_label("Reason").fill("The endpoint is back")
    at_work.get_by_role("button", name="Retry").click()

    expect(at_work.get_by_text("Done: retry.")).to_be_visible()
    expect(at_work.get_by_text("The endpoint is back").first).to_be_visible()
    shows_after_a_while(at_work, "yes, status completed")
    expect(at_work.locator("#review")).to_be_hidden()


def test_an_operator_sets_a_status_by_hand_and_must_give_a_reason(at_work, ours):
    open_transaction(at_work, ours["order-stuck"])
    at_work.get_by_role("link", name="Set status").click()
    at_work.get_by_label("New status").select_option("declined")
    at_work.get_by_role("button", name="Set status").click()

    expect(at_work.get_by_role("alert")).to_contain_text("Nothing was done yet")
    at_work.get_by_label("Reason").fill("The bank says so, by phone")
    at_work.get_by_role("button", name="Set status").click()

    expect(at_work.get_by_text("Done: set status.")).to_be_visible()
    entry = at_work.get_by_role("listitem").filter(has_text="The bank says so, by phone")
    expect(entry).to_contain_text("operator")
    expect(entry).to_contain_text("set the status to declined")


def test_a_button_of_an_outdated_page_does_nothing(visitor, ours):
    pages = [visitor.page("operator"), visitor.page("administrator")]
    for page in pages:
        page.goto(f"/admin/transactions/transaction/{ours['order-contradicted']}/do/notify_again/")
    for page in pages:
        page.get_by_role("button", name="Notify again").click()

    expect(pages[0].get_by_text("Done: notify again.")).to_be_visible()
    expect(pages[1].get_by_text("Nothing was done")).to_be_visible()


def test_a_viewer_sees_a_transaction_without_buttons(visitor, ours):
    page = visitor.page("viewer")
    open_transaction(page, ours["order-contradicted"])

    expect(page.locator("#review")).to_contain_text("contradicted")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    expect(page.get_by_role("heading", name="Actions", exact=True)).to_be_hidden()


def test_a_viewer_is_refused_an_action(visitor, ours):
    page = visitor.page("viewer")
    visitor.tolerated = ["status of 403"]

    answer = page.goto(f"/admin/transactions/transaction/{ours['order-contradicted']}/do/set_status/")

    assert answer.status == 403
    expect(page.get_by_role("alert")).to_have_text(re.compile("Your account lacks the permission"))
    check_page(page)
