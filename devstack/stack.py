"""The whole stack on one machine: web server, worker and sandbox as processes, on running stores."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import requests

from devstack.environment import StateFile, service_environment
from devstack.paths import CHECKOUT
from devstack.ports import LOOPBACK
from devstack.processes import Child, StackError, stop_all
from devstack.serve import GRACE, web_command, worker_command
from devstack.stores import Stores

STATUS_MAP = {word: word for word in ("pending", "completed", "declined", "failed")}
STATUS_MAP |= {"true": "completed", "false": "declined", "0": "pending", "1": "completed", "2": "declined"}
START_TIMEOUT = 60.0  # seconds; Python processes start slowly on a busy machine


def provider_settings(speed: float) -> dict[str, float]:
    """Return the provider's timing for a sandbox whose clock runs `speed` times faster than ours."""
    return {
        "create_timeout": max(45 / speed, 3),  # the sandbox answers a lost create after 30 s
        "settle_window": 130 / speed,  # such a create may take effect up to 120 s after its start
        "create_retry_delay": 130 / speed,
        "first_poll": 0.2,
        "second_poll": 0.01,
        "poll_growth": 2,
        "poll_cap": max(60 / speed, 0.5),
        "max_in_flight": 200,
    }


class Stack:
    """One stack; its secrets and logs are in `data_dir`.

    `variables` are further environment variables of the service, such as `WORKER_GRACE`. In a shared database, names
    get a random suffix because the plain ones may be taken.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database_url: str,
        broker_url: str,
        port: int,
        sandbox_port: int,
        speed: float = 20,
        shared_database: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.logs = data_dir / "logs"
        self.state = StateFile(data_dir / "secrets.json")
        self.speed = speed
        self.url = f"http://{LOOPBACK}:{port}"
        self.sandbox_url = f"http://{LOOPBACK}:{sandbox_port}"
        urls = {"database_url": database_url, "broker_url": broker_url, "public_url": self.url}
        self.state.save(urls)
        self.environment = service_environment(self.state, **urls)
        self.environment |= {"SANDBOX_URL": self.sandbox_url} | dict(variables or {})
        self.web = self._child("web", web_command(LOOPBACK, port))
        self.worker = self._child("worker", worker_command())
        self.workers = [self.worker]
        self.sandbox = self._child("sandbox", [])
        self._sandbox_port = sandbox_port
        self._suffix = f"-{self.state['suffix']}" if shared_database else ""

    @property
    def api_key(self) -> str:
        """The API key of the stack's client."""
        return self.state["api_key"]

    @property
    def callback_secret(self) -> str:
        """The secret that signs the notifications of the stack's client."""
        return self.state["callback_secret"]

    def manage(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a manage.py command and return its output. Raises StackError with the last line if it fails."""
        command = [sys.executable, "manage.py", *words]
        variables = {**self.environment, **(environment or {})}
        run = subprocess.run(command, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=False)
        if run.returncode:
            log = self.logs / "manage.log"
            log.parent.mkdir(exist_ok=True)
            log.write_text(run.stdout + run.stderr)
            last = (run.stderr or run.stdout).strip().rsplit("\n", 1)[-1]
            raise StackError(f"manage.py {words[0]} failed: {last}\nFull output: {log}")
        return run.stdout

    def prepare(self, **settings: float) -> None:
        """Migrate the database; create the provider, with these further settings, and the client if not done before."""
        self.manage("migrate", "-v0")
        provider = f"sandbox{self._suffix}"
        if "provider" not in self.state:
            base = ["--base-url", f"{self.sandbox_url}/third-party", "--webhook-auth", "url-token"]
            chosen = provider_settings(self.speed) | settings
            words = [word for name, value in chosen.items() for word in ("--set", f"{name}={value:g}")]
            words += ["--set", f"status_map={json.dumps(STATUS_MAP)}"]
            self.manage("createprovider", provider, *base, *words, "--json")
            self.state.save({"provider": provider})
        if "api_key" not in self.state:
            words = ["--callback-url", f"{self.sandbox_url}/client/callback", "--provider", provider]
            client = json.loads(self.manage("createclient", f"demo{self._suffix}", *words, "--json"))
            self.state.save({name: client[name] for name in ("api_key", "callback_secret")})

    def create_operator(self) -> None:
        """Create the admin account if not done before."""
        if "operator" in self.state:
            return
        operator = f"operator{self._suffix}"
        password = {"DJANGO_SUPERUSER_PASSWORD": self.state["operator_password"]}
        words = ["--noinput", "--username", operator, "--email", "operator@localhost"]
        self.manage("createsuperuser", *words, environment=password)
        self.state.save({"operator": operator})

    def start(self) -> None:
        """Start the sandbox, the web server and a worker, and wait until all three are ready."""
        command = [sys.executable, "-m", "sandbox", "--port", str(self._sandbox_port), "--speed", f"{self.speed:g}"]
        command += ["--seed", "1", "--callback-secret", self.callback_secret]
        self.sandbox = self._child("sandbox", command)
        try:
            for child in self._children():
                child.start()
            self.sandbox.wait_ready(partial(_answers, f"{self.sandbox_url}/state"), seconds=START_TIMEOUT)
            self.web.wait_ready(partial(_answers, f"{self.url}/healthz"), seconds=START_TIMEOUT)
            self.worker.wait_ready(partial(_answers, f"{self.url}/readyz"), seconds=START_TIMEOUT)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all processes at the same time."""
        stop_all(self._children())

    def add_worker(self) -> Child:
        """Start one more worker."""
        worker = self._child(f"worker-{len(self.workers) + 1}", worker_command())
        self.workers.append(worker)
        worker.start()
        return worker

    def check(self) -> None:
        """Raise StackError if a process has ended."""
        for child in self._children():
            if not child.running:
                raise child.failure(f"{child.name} ended unexpectedly (exit code {child.exit_code})")

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request to the API as the stack's client."""
        headers = {"Authorization": f"Bearer {self.api_key}"} | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def sandbox_state(self) -> dict[str, Any]:
        """Return the records of the sandbox's third party and client endpoint."""
        state: dict[str, Any] = requests.get(f"{self.sandbox_url}/state", timeout=30).json()
        return state

    def _child(self, name: str, command: list[str]) -> Child:
        log = self.logs / f"{name}.log"
        return Child(name, command, log=log, environment=self.environment, folder=CHECKOUT, grace=GRACE)

    def _children(self) -> list[Child]:
        return [self.sandbox, self.web, *self.workers]


@contextlib.contextmanager
def running_stack(data_dir: Path, *, port: int, sandbox_port: int, speed: float = 20) -> Iterator[Stack]:
    """Start a stack, and embedded stores unless the environment names some; stop them all at the end."""
    with Stores(data_dir, durable=True, given=os.environ) as stores:
        stack = Stack(
            data_dir,
            database_url=stores.database_url,
            broker_url=stores.broker_url,
            port=port,
            sandbox_port=sandbox_port,
            speed=speed,
            shared_database=stores.postgres is None,
        )
        stack.prepare()
        stack.start()
        try:
            yield stack
        finally:
            stack.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
