"""The aiohttp application: third party, client's endpoint, their records, and the web page."""

import json
from pathlib import Path

from aiohttp import web

from sandbox.client import Client
from sandbox.faults import error
from sandbox.provider import Provider
from sandbox.settings import Settings

PAGE = Path(__file__).parent / "page"
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
    ),
    "Cache-Control": "no-cache",
}
SHUTDOWN_SECONDS = 0.1  # for running handlers: most of them sleep, and none loses data


class Sandbox:
    """Third party and client, with the routes of both."""

    def __init__(self, settings: Settings) -> None:
        self._provider = Provider(settings)
        self._client = Client(settings.callback_secrets)
        self._switches = {
            "provider": self._provider.switch,
            "client": self._client.switch,
            "unknown_ids": self._provider.unknown_ids,
            "timestamps": self._client.timestamps,
        }

    def app(self) -> web.Application:
        """Return the application. Serve it with `handler_cancellation`, so that lost requests are not in flight."""
        app = web.Application()
        app.cleanup_ctx.append(self._provider.webhook_sender.run)
        app.router.add_post("/third-party/transactions", self._provider.create)
        app.router.add_get("/third-party/transactions/{id}", self._provider.read)
        app.router.add_get("/third-party/behaviours", self._provider.behaviours)
        for method in ("POST", "PUT", "PATCH"):
            app.router.add_route(method, "/client/callback", self._client.receive)
        app.router.add_get("/state", self._state)
        app.router.add_post("/control", self._control)
        app.router.add_post("/reset", self._reset)
        app.router.add_get("/", _page)
        app.router.add_get("/{name:page\\.(?:js|css)}", _page)
        return app

    async def _state(self, request: web.Request) -> web.Response:
        """GET /state: all records; /state?last=N: the newest N transactions of each side."""
        last = request.query.get("last")
        if last is not None and not last.isdecimal():
            return error(400, "last: must be a number")
        newest = int(last) if last else None
        return web.json_response(
            {
                "provider": self._provider.state(newest),
                "client": self._client.state(newest),
                "control": self._modes(),
            }
        )

    async def _control(self, request: web.Request) -> web.Response:
        """POST /control: set the modes of `provider`, `client`, `unknown_ids`, `timestamps`; answers all modes."""
        switches = self._switches
        try:
            wanted = json.loads(await request.read())
        except ValueError:
            return error(400, "the body is not JSON")
        if not isinstance(wanted, dict) or not wanted.keys() <= switches.keys():
            return error(400, f"the body must be an object with {', '.join(switches)}")
        for side, mode in wanted.items():
            if mode not in switches[side].modes:
                return error(400, f"{side}: must be one of {', '.join(switches[side].modes)}")
        for side, mode in wanted.items():
            switches[side].set(mode)
        return web.json_response(self._modes())

    async def _reset(self, _request: web.Request) -> web.Response:
        """POST /reset: delete all records and end all faults."""
        self._provider.reset()
        self._client.reset()
        return web.Response(status=204)

    def _modes(self) -> dict[str, str]:
        return {side: switch.mode for side, switch in self._switches.items()}


async def _page(request: web.Request) -> web.FileResponse:
    name = request.match_info.get("name", "index.html")
    return web.FileResponse(PAGE / name, headers=PAGE_HEADERS)


async def start(settings: Settings, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start serving; return the runner, whose cleanup ends it, and the base URL with the actual port."""
    app = Sandbox(settings).app()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    port = runner.addresses[0][1]
    return runner, f"http://{f'[{host}]' if ':' in host else host}:{port}"
