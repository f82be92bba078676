"""The other side of a call, on a free loopback port: it answers as a test says and remembers what it was asked."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server says to one request."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    held: threading.Event | None = None
    """It answers once this is set."""
    lost: bool = False
    """It reads the request and hangs up."""
    cut: bool = False
    """It hangs up in the middle of the body."""


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """Tell it what to answer by `on`, then point somebody at its `url`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._http = _Listener(("127.0.0.1", 0), _handler(self))
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def on(self, method: str, *answers: Answer) -> None:
        """Answer requests of this method so, one after the other; the last answer is given again and again."""
        self._answers[method] = list(answers)

    def of(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def take(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            answers = self._answers.get(asked.method, [Answer(501)])
            return answers.pop(0) if len(answers) > 1 else answers[0]


class _Listener(ThreadingHTTPServer):
    request_queue_size = 1000

    def handle_error(self, *_: Any) -> None:
        """A caller that hangs up first is what some tests are about."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.take(Asked(self.command, self.path, headers, body))
            if answer.held:
                answer.held.wait(30)
            if answer.lost:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = json.dumps(answer.json).encode() if answer.body is None else answer.body
            content = b"" if answer.status == 204 else content
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if answer.cut else content)

        do_GET = do_POST = do_PUT = do_PATCH = _any

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(tls)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def silent() -> Iterator[int]:
    """A port whose server never takes a connection up: its queue is full, so that connecting times out."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        yield address[1]
        for one in waiting:
            one.close()


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never came"
        time.sleep(0.005)
