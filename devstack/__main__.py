"""`python -m devstack COMMAND`: the commands behind the Makefile's targets."""

import argparse
import pkgutil
import sys

from devstack.processes import StackError, end_on_signals

# Function and fixed arguments of each command. Only the function in use is imported, which keeps `serve` small.
COMMANDS = {
    "demo": ("devstack.demo:demo",),
    "run": ("devstack.run:run",),
    "manage": ("devstack.run:manage",),
    "serve": ("devstack.serve:serve", "web", "worker"),
    "web": ("devstack.serve:serve", "web"),
    "worker": ("devstack.serve:serve", "worker"),
    "exec": ("devstack.stores:execute",),
    "clean": ("devstack.paths:remove_outside_folder",),
}


def main() -> int:
    """Run a command and return its exit code; print an expected failure as one sentence."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description="The development stack: see `make help`.")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs=argparse.REMAINDER, help="for `manage` and `exec`: the command to run")
    arguments = parser.parse_args()
    function, *fixed = COMMANDS[arguments.command]
    end_on_signals()
    try:
        return pkgutil.resolve_name(function)(*fixed, *arguments.words) or 0
    except StackError as error:
        print(error, file=sys.stderr)
    except PermissionError as error:
        print(f"No permission for {error.filename}. Did another user run this checkout before?", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
