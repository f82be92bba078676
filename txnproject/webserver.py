"""Web server: `python -m txnproject.webserver`, one process with an event loop and threads.

It starts granian from Python, because granian's command line limits the idle time of connections to 60 s.
"""

import argparse
import os
import sys

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings

from txnproject.environment import KEEP_ALIVE, KEEP_ALIVE_BOUNDS, Environment
from txnproject.logs import logging_config
from workers.foundation.descriptors import raise_limit

MAX_CONNECTIONS = 900
"""Open connections, idle ones included; further ones wait in the backlog. Below the usual limit of 1024 open
files, in case it cannot be raised."""
HEADER_BYTES = 64 * 1024
"""Bytes of a request line with headers; granian reads in steps, so slightly more can pass."""
GRACE = 5
"""Seconds to finish running requests on SIGTERM; limits the wait for incomplete ones."""


def keep_alive(environment: Environment) -> float:
    """Return KEEP_ALIVE, or its default for an invalid value: then a system check stops the process that it starts."""
    seconds = environment.number("KEEP_ALIVE", KEEP_ALIVE)
    least, most = KEEP_ALIVE_BOUNDS
    return seconds if least <= seconds <= most else KEEP_ALIVE


def main() -> int:
    """Serve until a signal. Return the exit status."""
    environment = Environment(os.environ)
    parser = argparse.ArgumentParser(prog="python -m txnproject.webserver", description="Run the web server.")
    parser.add_argument("--host", default=environment.text("HOST") or "127.0.0.1", help="default: HOST, or 127.0.0.1")
    parser.add_argument("--port", type=int, default=environment.text("PORT") or "8000", help="default: PORT, or 8000")
    parser.add_argument("application", nargs="?", default="txnproject.asgi:application", help="default: the service")
    given = parser.parse_args()
    raise_limit()
    try:
        Granian(
            given.application,
            address=given.host,
            port=given.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=MAX_CONNECTIONS,
            # The only timeout that granian has: for an idle connection and for the headers of a request alike.
            http1_settings=HTTP1Settings(round(keep_alive(environment) * 1000), max_buffer_size=HEADER_BYTES),
            workers_kill_timeout=GRACE,
            log_dictconfig=logging_config(environment.text("LOG_LEVEL").upper()),
        ).serve()
    except FatalError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
