"""The whole thing on one machine: web, worker and sandbox as processes, on stores that run already."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
import requests

from devstack.environment import Kept, service_environment
from devstack.places import CHECKOUT
from devstack.ports import LOOPBACK
from devstack.processes import Child, StackError, stop_all, wait_ready
from devstack.serve import GRACE, web_command, worker_command

STARTING = 60.0  # seconds; a machine that is busy with other things is slow to start a Python process


def provider_settings(speed: float) -> dict[str, float]:
    """The provider's timing for a sandbox whose clock runs `speed` times faster than ours."""
    return {
        "create_timeout": max(45 / speed, 3),  # it answers a lost create after 30 s
        "settle_window": 130 / speed,  # such a create may take effect up to 120 s after it began
        "create_retry_delay": 130 / speed,
        "first_poll": 0.2,
        "second_poll": 0.01,
        "poll_growth": 2,
        "poll_cap": max(60 / speed, 0.5),
        "max_in_flight": 200,
    }


class Stack:
    """One running stack; `variables` are further environment variables of the service, such as `WORKER_GRACE`.

    What must outlive a run is kept in `secrets.json` in its folder, readable by us only.
    """

    def __init__(
        self,
        home: Path,
        *,
        database_url: str,
        broker_url: str,
        port: int,
        sandbox_port: int,
        speed: float = 20,
        shared_database: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.logs = home / "logs"
        self.kept = Kept(home / "secrets.json")
        self.speed = speed
        self.url = f"http://{LOOPBACK}:{port}"
        self.sandbox_url = f"http://{LOOPBACK}:{sandbox_port}"
        self.environment = service_environment(
            self.kept, database_url=database_url, broker_url=broker_url, public_url=self.url
        )
        self.environment |= {"SANDBOX_URL": self.sandbox_url} | dict(variables or {})
        self.web = self._child("web", web_command(LOOPBACK, port))
        self.worker = self._child("worker", worker_command())
        self.workers = [self.worker]
        self.sandbox = self._child("sandbox", [])
        self._sandbox_port = sandbox_port
        # In a database that is not ours alone, the names we would take may be taken.
        self._suffix = f"-{self.kept['mark']}" if shared_database else ""

    @property
    def api_key(self) -> str:
        """The API key of the client that was set up."""
        return self.kept["api_key"]

    @property
    def callback_secret(self) -> str:
        """The secret that signs this client's notifications."""
        return self.kept["callback_secret"]

    def manage(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a `manage.py` command on this stack; what it printed, or a StackError with it."""
        run = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=CHECKOUT,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            log = self.logs / "manage.log"
            log.parent.mkdir(exist_ok=True)
            log.write_text(run.stdout + run.stderr)
            last = (run.stderr or run.stdout).strip().rsplit("\n", 1)[-1]
            raise StackError(f"manage.py {words[0]} failed: {last}\nAll it printed is in {log}")
        return run.stdout

    def prepare(self, **settings: float) -> None:
        """Bring the database up to date; make the provider and the client, once."""
        self.manage("migrate", "-v0")
        provider = f"sandbox{self._suffix}"
        if "provider" not in self.kept:
            base = ["--base-url", f"{self.sandbox_url}/third-party", "--webhook-auth", "url-token"]
            chosen = provider_settings(self.speed) | settings
            words = [word for name, value in chosen.items() for word in ("--set", f"{name}={value:g}")]
            self.manage("createprovider", provider, *base, *words, "--json")
            self.kept.update({"provider": provider})
        if "api_key" not in self.kept:
            words = ["--callback-url", f"{self.sandbox_url}/client/callback", "--provider", provider]
            made = json.loads(self.manage("createclient", f"demo{self._suffix}", *words, "--json"))
            self.kept.update({"api_key": made["api_key"], "callback_secret": made["callback_secret"]})

    def create_operator(self) -> None:
        """Make the account for the admin pages, once."""
        if "operator" in self.kept:
            return
        operator = f"operator{self._suffix}"
        password = {"DJANGO_SUPERUSER_PASSWORD": self.kept["operator_password"]}
        who = ["--username", operator, "--email", "operator@localhost"]
        self.manage("createsuperuser", "--noinput", *who, environment=password)
        self.kept.update({"operator": operator})

    def start(self) -> None:
        """Start the sandbox, the web server and a worker; return when all three are ready."""
        command = [sys.executable, "-m", "sandbox", "--port", str(self._sandbox_port), "--speed", f"{self.speed:g}"]
        command += ["--seed", "1", "--callback-secret", self.callback_secret]
        self.sandbox = self._child("sandbox", command)
        try:
            for child in self._children():
                child.start()
            wait_ready(self.sandbox, lambda: _answers(f"{self.sandbox_url}/state"), seconds=STARTING)
            wait_ready(self.web, lambda: _answers(f"{self.url}/healthz"), seconds=STARTING)
            wait_ready(self.worker, self._is_ready, seconds=STARTING)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process of the stack, side by side."""
        stop_all(self._children())

    def add_worker(self) -> Child:
        """Start one more worker."""
        worker = self._child(f"worker-{len(self.workers) + 1}", worker_command())
        self.workers.append(worker)
        worker.start()
        return worker

    def check(self) -> None:
        """A StackError if a process has ended that should run."""
        for child in self._children():
            if not child.running:
                raise child.complaint(f"{child.name} ended unexpectedly (exit code {child.exit_code})")

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the service as the client that was set up."""
        headers = {"Authorization": f"Bearer {self.api_key}"} | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def sandbox_state(self) -> dict[str, Any]:
        """What the third party and the client's endpoint have seen."""
        state: dict[str, Any] = requests.get(f"{self.sandbox_url}/state", timeout=30).json()
        return state

    def reviews(self) -> dict[str, str]:
        """Why operators should look, by the client's id, of the transactions that are flagged. No client is told."""
        connection = psycopg2.connect(self.environment["DATABASE_URL"])
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT client_ref, review FROM transactions_transaction WHERE review <> ''")
                return dict(cursor.fetchall())
        finally:
            connection.close()

    def _child(self, name: str, command: list[str]) -> Child:
        log = self.logs / f"{name}.log"
        return Child(name, command, log=log, environment=self.environment, folder=CHECKOUT, grace=GRACE)

    def _children(self) -> list[Child]:
        return [self.sandbox, self.web, *self.workers]

    def _is_ready(self) -> bool:
        return _answers(f"{self.url}/readyz")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
