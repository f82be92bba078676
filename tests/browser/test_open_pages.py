"""The pages that need no account: the landing page, the API's documentation, the sandbox's page."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import sound_in_every_look


@pytest.mark.parametrize("path", ["/", "/admin/login/"])
def test_it_is_sound(visitor, path):
    sound_in_every_look(visitor, path)


def test_the_landing_page_says_that_the_service_is_ready(page):
    page.goto("/")

    expect(page.get_by_text("Transactions are accepted, and worked on")).to_be_visible()


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("API documentation", "/v1/transactions"),
        ("API description", "openapi"),
        ("Operators' pages", "Password"),
        ("Sandbox", "Forget everything"),
    ],
)
def test_the_landing_page_leads_on(page, link, shown):
    page.goto("/")
    page.get_by_role("link", name=link).click()

    expect(page.get_by_text(shown).first).to_be_visible()


def test_the_sandbox_shows_a_transaction_as_the_third_party_and_the_client_saw_it(page, stack):
    order = {"id": "order-seen", "amount": 1250, "currency": "EUR", "reference": "sync#seen"}
    assert stack.request("POST", "/v1/transactions", json=order).status_code == 202
    page.goto(stack.sandbox_url)

    row = page.get_by_role("row").filter(has_text="sync#seen")
    expect(row).to_contain_text("create: 201")
    expect(row).to_contain_text(re.compile("completed.*as order-seen", re.DOTALL))


def test_the_sandbox_is_sound(visitor, stack):
    order = {"id": "order-sound", "amount": 1250, "currency": "EUR", "reference": "contradict#sound"}
    stack.request("POST", "/v1/transactions", json=order)

    sound_in_every_look(visitor, stack.sandbox_url, shows="text=contradict#sound")
