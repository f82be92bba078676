"""Commands behind the Makefile's targets that need no running stack."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devstack import run
from devstack.environment import StateFile
from devstack.paths import CHECKOUT, locked_data_dir
from devstack.processes import StackError

pytestmark = pytest.mark.slow

REQUIREMENTS = ("production.txt", "demo.txt", "test.txt", "lint.txt", "constraints.txt")


def devstack(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", *words],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def pins(*names: str) -> Iterator[Requirement]:
    for name in names:
        for line in (CHECKOUT / "requirements" / name).read_text().splitlines():
            text = line.split("#")[0].strip()
            if text and not text.startswith("-"):
                yield Requirement(text)


def test_serve_names_a_missing_variable() -> None:
    run = devstack("serve", DATABASE_URL="", BROKER_URL="redis://127.0.0.1/0")
    assert run.returncode == 1
    assert run.stderr.startswith("Set DATABASE_URL to ")
    assert "Traceback" not in run.stderr


def test_exec_runs_a_command_on_temporary_stores() -> None:
    run = devstack("exec", sys.executable, "-c", "import os; print(os.environ['DATABASE_URL'])", DATABASE_URL="")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("postgresql://")
    assert run.stdout.strip() != os.environ["DATABASE_URL"]


def test_exec_returns_the_exit_code_of_its_command() -> None:
    assert devstack("exec", sys.executable, "-c", "raise SystemExit(3)").returncode == 3


def test_a_state_file_keeps_its_secrets_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    key = StateFile(file)["SECRET_KEY"]
    StateFile(file).save({"api_key": "k"})
    assert file.stat().st_mode & 0o077 == 0
    assert (StateFile(file)["SECRET_KEY"], StateFile(file)["api_key"]) == (key, "k")


def needs_of(requirement: Requirement) -> Iterator[Requirement]:
    """Yield what an installed package requires on this platform."""
    if requirement.marker is None or requirement.marker.evaluate():
        for needed in map(Requirement, metadata.requires(requirement.name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                yield needed


def test_all_direct_and_indirect_requirements_are_pinned() -> None:
    pinned = {canonicalize_name(pin.name) for pin in pins(*REQUIREMENTS)}
    for pin in pins(*REQUIREMENTS):
        for needed in needs_of(pin):
            assert canonicalize_name(needed.name) in pinned, f"{pin.name} needs {needed.name}"


def test_the_service_imports_only_packages_that_production_installs() -> None:
    waiting, installed = list(pins("production.txt")), set()
    while waiting:
        requirement = waiting.pop()
        if canonicalize_name(requirement.name) not in installed:
            installed.add(canonicalize_name(requirement.name))
            waiting += needs_of(requirement)
    distributions = metadata.packages_distributions()
    for module, path in service_imports():
        names = {canonicalize_name(name) for name in distributions.get(module, [])}
        assert not names or names & installed, f"{path} imports {module}, which is not in production.txt"


def service_imports() -> Iterator[tuple[str, Path]]:
    """Yield the top-level names that modules of the service import."""
    packages = {path.parent for path in CHECKOUT.glob("*/__init__.py")}
    for package in packages - {CHECKOUT / name for name in ("devstack", "sandbox", "tests")}:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((alias.name.split(".")[0], path) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module.split(".")[0], path


def test_manage_runs_a_command_on_the_running_stack(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(run, "DATA_DIR", tmp_path)
    addresses = {
        "database_url": os.environ["DATABASE_URL"],
        "broker_url": "redis://127.0.0.1:1",
        "public_url": "http://a",
    }
    StateFile(tmp_path / "secrets.json").save(addresses)

    program = "from django.conf import settings as s; print(s.BROKER_URL, s.PUBLIC_URL)"
    with locked_data_dir(tmp_path):
        assert run.manage("shell", "-v0", "-c", program) == 0

    assert capfd.readouterr().out == "redis://127.0.0.1:1 http://a\n"


def test_manage_returns_the_exit_code_of_a_failed_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run, "DATA_DIR", tmp_path)
    addresses = {"database_url": "none", "broker_url": "none", "public_url": "none"}
    StateFile(tmp_path / "secrets.json").save(addresses)

    with locked_data_dir(tmp_path):
        assert run.manage("check") == 1


def test_manage_requires_a_running_stack(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run, "DATA_DIR", tmp_path)

    with pytest.raises(StackError, match="make run"):
        run.manage("check")
