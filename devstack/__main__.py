"""`python -m devstack COMMAND`: what the Makefile's targets call."""

import argparse
import sys

from devstack.processes import StackError, end_on_signals

COMMANDS = {
    "demo": "show the whole thing at work on fresh embedded stores, then exit",
    "run": "the same stack, staying up",
    "manage": "run a manage.py command on the stack that `run` keeps up",
    "serve": "web and worker on the DATABASE_URL, BROKER_URL and PORT given",
    "web": "the web server alone",
    "worker": "a worker alone",
    "exec": "run a command on embedded stores of its own",
    "clean": "remove what is kept outside the checkout",
}


def main() -> int:
    """Parse, run, and turn an expected failure into a sentence."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description="The development stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in ("manage", "exec"):
            command.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND …")
    arguments = parser.parse_args()
    end_on_signals()
    try:
        return run(arguments)
    except StackError as error:
        print(error, file=sys.stderr)
    except PermissionError as error:
        print(f"{error.filename} is not ours to use: did another user run this here before?", file=sys.stderr)
    return 1


def run(arguments: argparse.Namespace) -> int:
    """Import what one command needs, not more: `serve` stays up, and its memory counts."""
    if arguments.command == "demo":
        from devstack.demo import demo

        return demo()
    if arguments.command == "run":
        from devstack.run import run

        return run()
    if arguments.command == "manage":
        from devstack.run import manage

        return manage(arguments.words)
    if arguments.command == "exec":
        from devstack.throwaway import execute

        return execute(arguments.words)
    if arguments.command == "clean":
        from devstack.places import remove_outside_folder

        remove_outside_folder()
        return 0
    from devstack.serve import serve

    return serve(["web", "worker"] if arguments.command == "serve" else [arguments.command])


if __name__ == "__main__":
    sys.exit(main())
