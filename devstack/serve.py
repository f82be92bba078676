"""`make serve`, `make web` and `make worker`: the processes of the service, in the foreground, on given stores.

A supervisor is needed there: a signal to the process group would reach Dramatiq several times (from the terminal, from
make, from its parent process), and the second SIGTERM makes it abandon the jobs that it is finishing. Containers and
systemd signal one process, so they need no supervisor: run `web_command` and `worker_command` directly.
"""

import os
import subprocess
import sys
import time

from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK, requested_port
from devstack.processes import Child, StackError, stop_all

PORT = 8000
GRACE = 15  # seconds to finish running requests and jobs; process managers often wait for 20 at most


def web_command(host: str, port: int) -> list[str]:
    """Return the command of the web server; its environment sets KEEP_ALIVE."""
    options = ["--host", host, "--port", str(port)]
    return [sys.executable, "-m", "txnproject.webserver", *options, "txnproject.asgi:application"]


def worker_command() -> list[str]:
    """Return the command of a worker, with the project's own numbers of processes and threads."""
    return [sys.executable, str(CHECKOUT / "manage.py"), "rundramatiq"]


def serve(*programs: str) -> int:
    """Run `web`, `worker` or both until a signal stops them, or until one ends: then stop the other and return 1."""
    missing = [name for name in ("DATABASE_URL", "BROKER_URL") if not os.environ.get(name)]
    if missing:
        raise StackError(f"Set {' and '.join(missing)} to your own stores. `make run` starts embedded ones")
    host = os.environ.get("HOST") or LOOPBACK
    commands = {"worker": worker_command()}
    if "web" in programs:
        _check_migrations()
        commands["web"] = web_command(host, requested_port(host) or PORT)
    children = [Child(name, commands[name], folder=CHECKOUT, grace=GRACE) for name in programs]
    try:
        for child in children:
            child.start()
        while all(child.running for child in children):
            time.sleep(0.2)
        ended = next(child for child in children if not child.running)
        print(f"{ended.name} ended with exit code {ended.exit_code}. Stopping", file=sys.stderr)
        return 1
    except SystemExit:
        return 0  # a signal
    finally:
        stop_all(children)


def _check_migrations() -> None:
    """Raise StackError if the database lacks migrations; a database that does not answer yet is no error."""
    check = [sys.executable, "manage.py", "migrate", "--check"]
    run = subprocess.run(check, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if "OperationalError" in run.stderr:
        print("The database does not answer yet. Starting; /readyz answers 200 when it does", file=sys.stderr)
    elif run.returncode:
        missing = "The database lacks migrations: run `.venv/bin/python manage.py migrate`, then start again"
        raise StackError(run.stderr.strip() or missing)
