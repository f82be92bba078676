"""The operators' pages: sound in every look, and usable."""

import pytest
from playwright.sync_api import expect

from tests.browser.seed import PASSWORD
from tests.browser.visitor import sound_in_every_look


def test_an_operator_logs_in_and_reads_the_dashboard(page):
    page.goto("/admin/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    expect(page).to_have_title("Dashboard | Transaction relay")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "transactions/transaction/?status=pending",
        "workers/job/?state=failed&q=order-untold",
        "transactions/provider/1/change/",
        "transactions/client/1/change/",
        "workers/workerprocess/",
    ],
)
def test_it_is_sound(visitor, path):
    sound_in_every_look(visitor, f"/admin/{path}", "administrator")


def test_a_transactions_page_is_sound(visitor, ours):
    sound_in_every_look(visitor, f"/admin/transactions/transaction/{ours['order-contradicted']}/change/", "operator")
