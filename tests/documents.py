"""Readers of the documentation, with which tests compare it to the code."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
ROOT = DOCS.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
_PATH = re.compile(r"`([\w-]+/(?:[\w.-]+/)*(?:[\w-]+\.\w+)?)(?::[\w.]+)?`")
"""A path in backquotes that ends with `/` or an extension; the name of a function may follow after a colon."""


def table(document: str, first: str) -> list[dict[str, str]]:
    """Return the rows of the only table whose first column has this name; each cell by the name of its column."""
    lines = (DOCS / document).read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def links(page: Path) -> list[str]:
    """Return the relative links of a page, images included."""
    return _LINK.findall(_text(page))


def leads_somewhere(page: Path, link: str) -> bool:
    """Return True if the file of a relative link exists, and has the heading that its anchor names."""
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def paths(page: Path) -> list[str]:
    """Return the paths of files and folders of the repository that a page names in backquotes."""
    return _PATH.findall(_text(page))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, in the form of GitHub and GitLab."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def _text(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCED.sub("", page.read_text())
