"""Browser tests on a machine without a browser."""

import pytest

from devstack.paths import CHECKOUT
from tests.browser import chromium

pytestmark = pytest.mark.slow


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium, "AXE", tmp_path / "axe.js")
    monkeypatch.delenv(chromium.REQUIRED, raising=False)


def test_browser_tests_are_skipped_with_the_reason_and_the_remedy(nothing_installed):
    with pytest.raises(pytest.skip.Exception, match="No Chromium and no axe-core here: run `make browser`"):
        chromium.skip_where_lacking()


def test_browser_tests_fail_if_a_browser_is_required(nothing_installed, monkeypatch):
    monkeypatch.setenv(chromium.REQUIRED, "1")

    with pytest.raises(pytest.fail.Exception, match="run `make browser`"):
        chromium.skip_where_lacking()


def test_ci_requires_a_browser():
    steps = (CHECKOUT / ".ci/run").read_text()

    assert steps.index("step browser") < steps.index(f"export {chromium.REQUIRED}=1") < steps.index("step test")
