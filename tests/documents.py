"""Reading what the documents say, so that tests hold the service to it."""

from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def table(document: str, first: str) -> list[dict[str, str]]:
    """The rows of the one table whose first column is named so; each cell by its column's name."""
    lines = (DOCS / document).read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
