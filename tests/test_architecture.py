"""docs/architecture.md matches the code: each step of the walk names an existing function, and the walk stays short."""

import ast
import re
from pathlib import Path

import pytest

from tests.documents import DOCS, ROOT, table

STEPS = re.findall(r"`([\w/]+\.py):([\w.]+)`", (DOCS / "architecture.md").read_text())
WALK = [re.findall(r"`([\w/]+\.py):([\w.]+)`", row["where"])[0] for row in table("architecture.md", "step")]


def defined(file: Path) -> set[str]:
    """Return the names of a module's functions, and of its methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize(("file", "function"), STEPS)
def test_each_step_names_a_function_that_exists(file: str, function: str):
    assert function in defined(ROOT / file)


def test_the_walk_names_at_most_12_files():
    assert len({file for file, _ in WALK}) <= 12


def test_the_table_lists_all_folders_of_the_service():
    listed = {re.findall(r"`(\w+)/`", row["folder"])[0] for row in table("architecture.md", "folder")}

    assert listed == {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"tests"}
