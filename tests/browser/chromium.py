"""Debian's Chromium and axe-core: their locations, and skipping of tests without them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
REQUIRED = "BROWSER_REQUIRED"
"""Environment variable, set by .ci/run. If it is set, tests fail without a browser; otherwise they are skipped."""

QUIET = ["gpu", "quic", "background-networking", "component-update", "sync"]
"""Browser features to disable, because they are not needed to show our pages."""


def lacking() -> str:
    """Return a message that names the missing software and the remedy; empty if nothing is missing."""
    missing = [] if shutil.which("chromium") else ["Chromium"]
    missing += [] if AXE.exists() else ["axe-core"]
    return f"No {' and no '.join(missing)} here: run `make browser`" if missing else ""


def skip_where_lacking() -> None:
    """Skip the test with the reason if software is missing. Fail it if a browser is required."""
    if reason := lacking():
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless browser. While it runs, this thread has an event loop, so Django's ORM cannot be used."""
    flags = ["--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium cannot create its sandbox as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()
