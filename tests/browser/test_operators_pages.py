"""Admin pages: login, and accessibility at both widths and in both colour schemes."""

import pytest
from playwright.sync_api import expect

from tests.browser.seed import PASSWORD
from tests.browser.visitor import check_layouts

pytestmark = pytest.mark.slow


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
        "workers/job/?state=failed&q=order-not_notified",
        "providers/provider/1/change/",
        "clients/client/1/change/",
        "workers/workerprocess/",
    ],
)
def test_the_page_is_accessible(visitor, path):
    check_layouts(visitor, f"/admin/{path}", "administrator")


def test_the_page_of_a_transaction_is_accessible(visitor, ours):
    check_layouts(visitor, f"/admin/transactions/transaction/{ours['order-contradicted']}/change/", "operator")
