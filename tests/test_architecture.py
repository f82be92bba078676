"""docs/architecture.md describes the code as it is: each step of the walk exists, and the walk stays short."""

import ast
import re
from pathlib import Path

import pytest

from tests.documents import DOCS, table

ROOT = DOCS.parent
STEPS = re.findall(r"`([\w/]+\.py):([\w.]+)`", (DOCS / "architecture.md").read_text())
WALK = [re.findall(r"`([\w/]+\.py):([\w.]+)`", row["where"])[0] for row in table("architecture.md", "step")]


def defined(file: Path) -> set[str]:
    """Return the names of the functions of a module, those of a class as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize(("file", "function"), STEPS)
def test_each_step_names_a_function_that_exists(file: str, function: str):
    assert function in defined(ROOT / file)


def test_the_way_of_a_transaction_leads_through_12_files_at_the_most():
    assert len({file for file, _ in WALK}) <= 12


def test_the_folders_of_the_service_are_those_of_the_table():
    listed = {re.findall(r"`(\w+)/`", row["folder"])[0] for row in table("architecture.md", "folder")}

    assert listed == {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"tests"}
