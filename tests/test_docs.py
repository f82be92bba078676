"""The documentation matches the repository: links, paths, tests that are named as proofs, problems, screenshots."""

import re
from pathlib import Path

import pytest

from tests.browser.screenshots import LARGEST
from tests.documents import DOCS, PAGES, ROOT, leads_somewhere, links, paths
from transactions.api.problems import PROBLEMS

NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (DOCS / "reliability.md").read_text())


def test_the_pages_have_links_paths_and_proofs():
    assert len(NAMED) > 30
    assert sum(len(links(page)) for page in PAGES) > 50
    assert sum(len(paths(page)) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_heading(page: Path):
    assert not [link for link in links(page) if not leads_somewhere(page, link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_backquotes_exists(page: Path):
    assert not [path for path in paths(page) if not (ROOT / path).exists()]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_as_a_proof_exists(file: str, name: str):
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("slug", PROBLEMS)
def test_the_api_page_describes_each_problem(slug: str):
    found = PROBLEMS[slug]

    row = f"| {found.status} | `{slug}` | {found.title} | {found.advice} |"
    assert row in (DOCS / "api.md").read_text()


@pytest.mark.parametrize("name", ["dashboard", "list", "transaction", "bulk", "landing"])
def test_a_screenshot_exists_and_is_not_too_large(name: str):
    picture = (DOCS / "screenshots" / f"{name}.png").read_bytes()

    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20]) == 1280  # pixels wide
    assert len(picture) <= LARGEST
