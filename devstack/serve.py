"""`make serve`, `make web` and `make worker`: the service's own processes, in the foreground, on the stores given.

A supervisor stands above them because a signal to a process group reaches Dramatiq's worker several times (from the
terminal, from make, from its own parent), and the second one makes it drop what it is finishing. Under a container
or systemd, which signal one process, none is needed: start `web_command` and `worker_command` themselves.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from devstack.places import CHECKOUT
from devstack.ports import LOOPBACK, port_asked_for
from devstack.processes import Child, StackError, stop_all

PORT = 8000
GRACE = 15  # seconds to finish what is running; whoever stops us will hardly wait for more than 20
# Connections, idle ones included: more wait in the backlog. Below the usual limit of 1024 open files.
CONNECTIONS = 900
HEADERS = 64 * 1024  # bytes of a request's line and headers, or some more: they are read in steps
SLOW = 10  # seconds to send a request's headers; who is slower would hold one of these connections
WEB_GRACE = 5  # seconds for the web server's requests under way: none takes long, but a half-sent one would


def web_command(host: str, port: int) -> list[str]:
    """The web server: one process, which takes requests in by an event loop and works on them in threads."""
    listen = ["--host", host, "--port", str(port), "--http", "1", "--no-ws", "--no-access-log"]
    limits = ["--workers", "1", "--backpressure", str(CONNECTIONS)]
    limits += ["--http1-buffer-size", str(HEADERS)]
    limits += ["--http1-header-read-timeout", str(SLOW * 1000), "--workers-kill-timeout", str(WEB_GRACE)]
    return [sys.executable, "-m", "granian", "--interface", "asginl", *listen, *limits, "txnproject.asgi:application"]


def worker_command() -> list[str]:
    """A worker, with the numbers of processes and threads that the project has chosen."""
    return [sys.executable, str(CHECKOUT / "manage.py"), "rundramatiq"]


def serve(programs: Sequence[str]) -> int:
    """Run `web`, `worker` or both until told to stop, or until one of them ends: then the others end with it."""
    _check_environment(os.environ)
    host = os.environ.get("HOST") or LOOPBACK
    commands = {"worker": worker_command()}
    if "web" in programs:
        _check_migrations()
        commands["web"] = web_command(host, port_asked_for(host) or PORT)
    children = [Child(name, commands[name], folder=CHECKOUT, grace=GRACE) for name in programs]
    try:
        for child in children:
            child.start()
        while all(child.running for child in children):
            time.sleep(0.2)
        ended = next(child for child in children if not child.running)
        print(f"{ended.name} ended with exit code {ended.exit_code}: stopping", file=sys.stderr)
        return 1
    except SystemExit:
        return 0  # told to stop, and stopped in order
    finally:
        stop_all(children)


def _check_environment(environment: Mapping[str, str]) -> None:
    missing = [name for name in ("DATABASE_URL", "BROKER_URL") if not environment.get(name)]
    if missing:
        raise StackError(
            f"Set {' and '.join(missing)}: this runs on stores of yours. `make run` brings its own, for a try."
        )


def _check_migrations() -> None:
    """Refuse a database that lacks migrations; one that does not answer yet is no reason not to start."""
    check = [sys.executable, "manage.py", "migrate", "--check"]
    run = subprocess.run(check, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return
    if "OperationalError" in run.stderr:
        print("The database does not answer yet; starting all the same: /readyz says when it does", file=sys.stderr)
    elif run.stderr.strip():
        raise StackError(run.stderr.strip())
    else:
        raise StackError("The database lacks migrations: run `.venv/bin/python manage.py migrate`, then start again")
