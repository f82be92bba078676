"""The dashboard in a browser: its figures, and how they stay fresh."""

from playwright.sync_api import expect

CONTRADICTED = "1 transaction needs a look: the provider contradicted a final status."


def test_a_number_leads_to_the_list_behind_it(at_work):
    at_work.goto("/admin/")
    at_work.get_by_role("link", name=CONTRADICTED).click()

    expect(at_work.get_by_role("row")).to_have_count(2)  # the head, and
    expect(at_work.get_by_role("row").last).to_contain_text("order-contradicted")


def test_it_has_a_chart_that_says_in_words_what_it_shows(at_work):
    at_work.goto("/admin/")

    expect(at_work.get_by_role("img", name="The last hour")).to_be_visible()


def test_it_refreshes_itself_without_being_loaded_anew(at_work):
    at_work.goto("/admin/")
    made = at_work.locator("time").first
    before = made.inner_text()
    at_work.evaluate("window.stayed = true")

    expect(made).not_to_have_text(before)
    assert at_work.evaluate("window.stayed")


def test_it_can_be_read_without_javascript(visitor):
    page = visitor.page("operator", java_script_enabled=False)
    page.goto("/admin/")

    expect(page.get_by_text(CONTRADICTED)).to_be_visible()
