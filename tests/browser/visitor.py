"""Somebody with a browser, to whose eye nothing of what goes wrong behind a page escapes."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.browser.chromium import AXE

WIDE, NARROW = (1280, 800), (390, 844)
SERIOUS = ("serious", "critical")
OVERFLOWING = """() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return [];
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > limit);
    return [`${document.documentElement.scrollWidth} px of ${limit}`,
            ...wide.slice(0, 5).map((one) => one.cloneNode(false).outerHTML.slice(0, 150))];
}"""


class Visitor:
    """A browser context of one test. `complaints` grows by all that a good page never does.

    `origins` are those that pages may ask; `tolerated` are parts of complaints that the test has brought about itself.
    """

    def __init__(self, browser: Browser, origins: Sequence[str], **options: Any) -> None:
        self.browser = browser
        self.origins = set(origins)
        self.options = options
        self.complaints: list[str] = []
        self.tolerated: list[str] = []
        self._contexts: list[BrowserContext] = []

    def page(self, *, size: tuple[int, int] = WIDE, scheme: str = "light", **options: Any) -> Page:
        """A new page in a context of its own: no cookie, nothing cached."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",  # nothing is looked at in the middle of a movement
            **(self.options | options),
        )
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"an error in a script: {error}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        return page

    def leave(self) -> list[str]:
        """Close everything; the complaints that were not expected."""
        for context in self._contexts:
            context.close()
        return [one for one in self.complaints if not any(part in one for part in self.tolerated)]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type} on the console: {message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.complaints.append(f"a request to another host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before the answer came
            self.complaints.append(f"no answer: {request.method} {request.url}: {request.failure}")


def sound(page: Page) -> None:
    """Assert that axe-core finds no serious fault in the page as it is now, and that nothing overflows sideways."""
    if not page.evaluate("'axe' in window"):
        page.route("**/axe.js", lambda route: route.fulfill(path=AXE, content_type="text/javascript"))
        page.add_script_tag(url="/axe.js")  # an address of the page's own host: its policy allows no other
    found = page.evaluate("axe.run({ resultTypes: ['violations'], preload: false })")
    faults = [
        f"{rule['id']}: {rule['help']}\n{node['html'][:200]}\n{node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]
    assert not faults, "\n".join([page.url, *faults])
    assert not page.evaluate(OVERFLOWING), page.url
