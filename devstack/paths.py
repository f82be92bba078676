"""Paths of the development stack, and locks on its data folders.

All data are in `.data/` in the checkout, with one exception. PostgreSQL refuses to run as root, so it runs as `nobody`
for root. That user cannot enter a checkout in a closed folder such as /root, and its permissions must not change for
a demo: programs and data of PostgreSQL are then kept in a folder outside, which belongs to this checkout alone.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devstack.processes import StackError

CHECKOUT = Path(__file__).resolve().parent.parent
DATA = CHECKOUT / ".data"


@contextlib.contextmanager
def locked_data_dir(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Make a data folder and hold its lock, which the kernel releases if this process is killed.

    Raises StackError if another process holds the lock, unless `wait` is set.
    """
    make_folder(path)
    with os.fdopen(os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StackError(f"{path} is in use by another run of this checkout. Stop that run first") from None
        yield


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, readable for all users whatever the umask; existing folders keep their mode."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def is_open_to_all(path: Path) -> bool:
    """Return True if every user can read `path` and pass through each folder above it."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    readable = path.stat().st_mode & wanted == wanted
    return readable and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def short_hash(path: Path) -> str:
    """Return a name for files that belong to `path` but are kept elsewhere."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _outside_path() -> Path:
    persistent = Path("/var/tmp")  # noqa: S108  # outside_folder() checks the owner and mode of the folder in it
    base = persistent if persistent.is_dir() else Path(tempfile.gettempdir())
    return base / f"transaction-relay-{os.geteuid()}-{short_hash(CHECKOUT)}"


def outside_folder() -> Path:
    """Make and return this checkout's folder outside the checkout. Raises StackError if others can write to it."""
    folder = _outside_path()
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StackError(f"{folder} is not a folder that only you can write to. Remove it, then start again")
    folder.chmod(0o755)
    return folder


def remove_outside_folder() -> None:
    """Delete this checkout's folder outside the checkout, if there is one."""
    if _outside_path().exists():
        shutil.rmtree(outside_folder())


def remove_outside_folder_if_empty() -> None:
    """Delete this checkout's folder outside the checkout, if there is one and nothing is in it."""
    with contextlib.suppress(OSError):
        _outside_path().rmdir()
