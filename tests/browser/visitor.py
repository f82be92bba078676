"""Browser user that records console messages, script errors and failed requests of the pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser.chromium import AXE

WIDE, NARROW = (1280, 800), (390, 844)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PATIENCE = 30_000
"""Timeout for pages in milliseconds. Only a busy machine needs more than a fraction of it."""
SERIOUS = ("serious", "critical")
OVERFLOWING = """() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return [];
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > limit);
    return [`${document.documentElement.scrollWidth} px of ${limit}`,
            ...wide.slice(0, 5).map((one) => one.cloneNode(false).outerHTML.slice(0, 150))];
}"""


expect.set_options(timeout=PATIENCE)


class Visitor:
    """Opens pages, each in a separate browser context, and collects `complaints` about them.

    Pages may send requests to the service at `url` and to `others`. `sessions` are the sessions of the staff users by
    role. `tolerated` are parts of complaints that the test causes on purpose.
    """

    def __init__(self, browser: Browser, url: str, *, others: Sequence[str], sessions: Mapping[str, str]) -> None:
        self.browser = browser
        self.url = url
        self.origins = {url, *others}
        self.sessions = sessions
        self.complaints: list[str] = []
        self.tolerated: list[str] = []
        self._contexts: list[BrowserContext] = []

    def page(self, role: str = "", *, size: tuple[int, int] = WIDE, scheme: Scheme = "light", **options: Any) -> Page:
        """Open a new page without a cache. Log in as a user of the role, if there is one."""
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",  # no checks during animations
            **options,
        )
        if role:
            context.add_cookies([{"name": "sessionid", "value": self.sessions[role], "url": self.url}])
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"an error in a script: {error}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        return page

    def leave(self) -> list[str]:
        """Close all pages and return the complaints that are not tolerated."""
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
        if request.failure != "net::ERR_ABORTED":  # the page was closed before the response arrived
            self.complaints.append(f"no answer: {request.method} {request.url}: {request.failure}")


def check_page(page: Page, rules: Sequence[str] = ()) -> None:
    """Assert that axe-core finds no serious fault in the current page, and that nothing overflows horizontally.

    `rules` limits the check to these rules of axe-core.
    """
    if not page.evaluate("'axe' in window"):
        page.route("**/axe.js", lambda route: route.fulfill(path=AXE, content_type="text/javascript"))
        page.add_script_tag(url="/axe.js")  # the page's policy allows only scripts of its own host
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("(options) => axe.run(options)", options)
    faults = [
        f"{rule['id']}: {rule['help']}\n{node['html'][:200]}\n{node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]
    faults += page.evaluate(OVERFLOWING)
    assert not faults, "\n".join([f"{page.url} at {page.viewport_size}", *faults])


def check_layouts(visitor: Visitor, path: str, role: str = "", shows: str = "body") -> None:
    """Run `check_page` on the page at `path`, at both widths, dark and light, once the selector `shows` is visible."""
    page = visitor.page(role)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.goto(path)
        for width, height in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(shows).first).to_be_visible()
            check_page(page, rules=["color-contrast"] if scheme == "dark" else ())  # only the colours differ
