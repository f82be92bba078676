"""Somebody with a browser, to whose eye nothing of what goes wrong behind a page escapes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser.chromium import AXE

WIDE, NARROW = (1280, 800), (390, 844)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PATIENCE = 30_000
"""Milliseconds that a page may take for anything: it does in a fraction of that, but on a machine that is busy."""
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
    """Opens pages, each in a browser context of its own. `complaints` grows by all that a good page never does.

    Pages may ask the service at `url`, and `others`; `sessions` are those of the staff, by role; `tolerated` are parts
    of complaints that the test has brought about itself.
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
        """A new page, with nothing cached. Its owner is signed in where there is a role."""
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",  # nothing is looked at in the middle of a movement
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


def sound(page: Page, rules: Sequence[str] = ()) -> None:
    """Assert that axe-core finds no serious fault in the page as it is now, and that nothing overflows sideways.

    `rules` are axe's that are looked at; all of them where none are named.
    """
    if not page.evaluate("'axe' in window"):
        page.route("**/axe.js", lambda route: route.fulfill(path=AXE, content_type="text/javascript"))
        page.add_script_tag(url="/axe.js")  # an address of the page's own host: its policy allows no other
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


def sound_in_every_look(visitor: Visitor, path: str, role: str = "", shows: str = "body") -> None:
    """The same of the page at `path`, at both widths, dark and light. It is there once `shows` (a selector) is."""
    page = visitor.page(role)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.goto(path)
        for width, height in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(shows).first).to_be_visible()
            sound(page, rules=["color-contrast"] if scheme == "dark" else ())  # the colours are all that differs
