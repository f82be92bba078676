"""The command line: `python -m sandbox`."""

import argparse
import asyncio
import signal
import sys

from standardwebhooks import Webhook

from sandbox.app import start
from sandbox.behaviours import BEHAVIOURS
from sandbox.settings import Settings

DESCRIPTION = """\
A transaction relay's surroundings, to try an integration against: an unreliable third party at which
transactions are created, and a client's endpoint that verifies the notifications it gets.
A page at / shows what both of them saw; /state gives the same as JSON."""

EPILOG = """\
A create's reference chooses how the third party behaves (add -<digits>, #... or :... to tell several apart);
any other reference gets one at random, by the shares of GET /third-party/behaviours. What is drawn depends on the
seed and the reference (without one: the id), so a reference has the same story in every run:

{behaviours}

Outages while it runs:   curl -X POST URL/control -d '{{"provider": "down"}}'
                         provider: ok, down, hang, 500, 503, 429; client: ok, down, hang, 500, 410, 429
Start over:              curl -X POST URL/reset"""


def _secret(text: str) -> str:
    """A Standard Webhooks secret, checked here so that a mistyped one stops the start."""
    if not text.startswith("whsec_"):
        raise argparse.ArgumentTypeError("a secret reads whsec_<base64>")
    try:
        Webhook(text)
    except Exception as broken:
        raise argparse.ArgumentTypeError(f"a secret reads whsec_<base64>: {broken}") from None
    return text


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError("must be greater than 0")
    return speed


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return seconds


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {row.name:18} {row.what}" for row in BEHAVIOURS.values())
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=DESCRIPTION,
        epilog=EPILOG.format(behaviours=rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Settings()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--port", type=int, default=9100, help="0 takes any free one, which is printed (default: %(default)s)")
    add("--speed", type=_speed, default=defaults.speed, help="divides every duration: at 20, 120 s pass in 6 s")
    add("--seed", type=int, default=defaults.seed, help="for all that is random; the order of arrival is not in it")
    add("--callback-secret", type=_secret, action="append", default=[], metavar="whsec_...",
        help="verifies notifications; repeatable; without one, signatures are not checked")  # fmt: skip
    add("--webhook-secret", type=_secret, metavar="whsec_...",
        help="signs webhooks by Standard Webhooks; without one they are unsigned, as the real ones are")  # fmt: skip
    add("--answer-seconds", type=_seconds, nargs=2, default=defaults.answer_seconds, metavar=("A", "B"),
        help="how long the third party's answers take, creates and reads (default: 0.2 10)")  # fmt: skip
    add("--settle-seconds", type=_seconds, nargs=2, default=defaults.settle_seconds, metavar=("A", "B"),
        help="how long a pending transaction takes to become final after the answer (default: 1 20)")  # fmt: skip
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        speed=arguments.speed,
        seed=arguments.seed,
        answer_seconds=(min(arguments.answer_seconds), max(arguments.answer_seconds)),
        settle_seconds=(min(arguments.settle_seconds), max(arguments.settle_seconds)),
        callback_secrets=tuple(arguments.callback_secret),
        webhook_secret=arguments.webhook_secret,
    )


def _greeting(url: str, settings: Settings) -> str:
    callbacks = "checked" if settings.callback_secrets else "not checked (no --callback-secret)"
    webhooks = "signed" if settings.webhook_secret else "unsigned"
    return (
        f"sandbox: third party {url}/third-party  client {url}/client/callback  page {url}/\n"
        f"sandbox: speed {settings.speed:g}, seed {settings.seed}; callback signatures are {callbacks};"
        f" webhooks are {webhooks}"
    )


async def _serve(settings: Settings, host: str, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner, url = await start(settings, host, port)
    try:
        print(_greeting(url, settings), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Runs until SIGINT or SIGTERM; 1 when it cannot listen."""
    arguments = _parser().parse_args()
    try:
        asyncio.run(_serve(_settings(arguments), arguments.host, arguments.port))
    except OSError as refused:
        print(f"sandbox: cannot listen at {arguments.host}:{arguments.port}: {refused.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
