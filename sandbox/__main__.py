"""Command line: `python -m sandbox`."""

import argparse
import asyncio
import signal
import sys

from standardwebhooks import Webhook

from sandbox.app import start
from sandbox.behaviours import BEHAVIOURS
from sandbox.settings import Settings

DESCRIPTION = """\
A sandbox for a transaction relay: an unreliable third party that creates transactions, and a
client's endpoint that verifies notifications. The page at / shows the records of both; /state
returns them as JSON."""

EPILOG = """\
The reference of a create sets the behaviour of the third party; append -<digits>, #... or :... to make it unique.
For other references, a behaviour is drawn by the shares of GET /third-party/behaviours. Random choices depend only on
the seed and the reference (or the id without one), so that they are the same in every run:

{behaviours}

Inject a fault:          curl -X POST URL/control -d '{{"provider": "down"}}'
                         provider: ok, down, hang, 500, 503, 429; client: ok, down, hang, 500, 410, 429;
                         unknown_ids: ok, odd (the first 2 reads of an id before its create);
                         timestamps: ok, any (the client accepts signatures of any time)
Confirm oddly:           client: odd (each way in turn), drip, endless, cut, reset, bad-chunk, body-204,
                         gzip, br, big-header, close-early
Delete all records:      curl -X POST URL/reset"""


def _secret(text: str) -> str:
    """Return a valid Standard Webhooks secret; reject others at the start."""
    if not text.startswith("whsec_"):
        raise argparse.ArgumentTypeError("must have the form whsec_<base64>")
    try:
        Webhook(text)
    except Exception as broken:
        raise argparse.ArgumentTypeError(f"must have the form whsec_<base64>: {broken}") from None
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
    rows = "\n".join(f"  {row.name:18} {row.description}" for row in BEHAVIOURS.values())
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=DESCRIPTION,
        epilog=EPILOG.format(behaviours=rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Settings()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="listen address (default: %(default)s)")
    add("--port", type=int, default=9100, help="listen port; 0 uses a free one and prints it (default: %(default)s)")
    add("--speed", type=_speed, default=defaults.speed, help="divides all durations: at 20, 120 s take 6 s")
    add(
        "--seed",
        type=int,
        default=defaults.seed,
        help="seed of all random choices; they do not depend on the order of requests",
    )
    add("--callback-secret", type=_secret, action="append", default=[], metavar="whsec_...",
        help="verifies notifications; repeatable; default: signatures are not checked")  # fmt: skip
    add("--webhook-secret", type=_secret, metavar="whsec_...",
        help="signs webhooks by Standard Webhooks; default: unsigned")  # fmt: skip
    add("--answer-seconds", type=_seconds, nargs=2, default=defaults.answer_seconds, metavar=("A", "B"),
        help="duration of the third party's answers to creates and reads (default: 0.2 10)")  # fmt: skip
    add("--settle-seconds", type=_seconds, nargs=2, default=defaults.settle_seconds, metavar=("A", "B"),
        help="time from the answer until a pending transaction is final (default: 1 20)")  # fmt: skip
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
    """Run until SIGINT or SIGTERM; return 1 if the address is not available."""
    arguments = _parser().parse_args()
    try:
        asyncio.run(_serve(_settings(arguments), arguments.host, arguments.port))
    except OSError as refused:
        print(f"sandbox: cannot listen on {arguments.host}:{arguments.port}: {refused.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
