"""Debian's Chromium and axe-core: where they are, and what to do where they are not."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
REQUIRED = "BROWSER_REQUIRED"
"""Set in the environment (as .ci/run does), it has tests fail for want of a browser that would be skipped else."""

QUIET = ["gpu", "quic", "background-networking", "component-update", "sync"]
"""What a browser does besides showing our pages, and must not do here."""


def lacking() -> str:
    """What is missing, and the remedy; empty where nothing is."""
    missing = [] if shutil.which("chromium") else ["Chromium"]
    missing += [] if AXE.exists() else ["axe-core"]
    return f"No {' and no '.join(missing)} here: run `make browser`" if missing else ""


def skip_where_lacking() -> None:
    """Skip the test with the reason; where a browser is required, fail."""
    if reason := lacking():
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. While it runs this thread has an event loop, so Django's ORM refuses to be used."""
    flags = ["--no-first-run", *(f"--disable-{name}" for name in QUIET)]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's own cannot be made by root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()
