"""Pages without a login: the landing page, the API documentation and the sandbox."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import check_layouts

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", ["/", "/admin/login/"])
def test_the_page_is_accessible(visitor, path):
    check_layouts(visitor, path)


def test_the_landing_page_says_that_the_service_is_ready(page):
    page.goto("/")

    expect(page.get_by_text("The service accepts and processes transactions")).to_be_visible()


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("API documentation", "/v1/transactions"),
        ("API description", "openapi"),
        ("Operators' pages", "Password"),
        ("Sandbox", "Delete all records"),
    ],
)
def test_the_landing_page_links_to_other_pages(page, link, shown):
    page.goto("/")
    page.get_by_role("link", name=link).click()

    expect(page.get_by_text(shown).first).to_be_visible()


def test_the_sandbox_shows_the_calls_of_a_transaction(page, stack):
    order = {"id": "order-seen", "amount": 1250, "currency": "EUR", "reference": "sync#seen"}
    assert stack.request("POST", "/v1/transactions", json=order).status_code == 202
    page.goto(stack.sandbox_url)

    row = page.get_by_role("row").filter(has_text="sync#seen")
    expect(row).to_contain_text("create: 201")
    expect(row).to_contain_text(re.compile("completed.*as order-seen", re.DOTALL))


def test_the_sandbox_is_accessible(visitor, stack):
    order = {"id": "order-sound", "amount": 1250, "currency": "EUR", "reference": "contradict#sound"}
    stack.request("POST", "/v1/transactions", json=order)

    check_layouts(visitor, stack.sandbox_url, shows="text=contradict#sound")
