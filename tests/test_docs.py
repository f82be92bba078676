"""The documents name tests as proofs: each of them must be there."""

import re
from pathlib import Path

import pytest

from tests.browser.screenshots import LARGEST
from transactions.api.problems import PROBLEMS

ROOT = Path(__file__).parent.parent
NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())


def test_the_guarantees_name_their_proofs():
    assert len(NAMED) > 30


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_as_a_proof_exists(file: str, name: str):
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("slug", PROBLEMS)
def test_the_api_page_says_what_each_kind_of_problem_is(slug: str):
    found = PROBLEMS[slug]

    row = f"| {found.status} | `{slug}` | {found.title} | {found.advice} |"
    assert row in (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("name", ["dashboard", "list", "transaction", "bulk", "landing"])
def test_there_is_a_picture_that_is_not_too_large(name: str):
    picture = (ROOT / "docs" / "screenshots" / f"{name}.png").read_bytes()

    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20]) == 1280  # pixels wide
    assert len(picture) <= LARGEST
