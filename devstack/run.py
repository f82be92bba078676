"""`make run`: the stack, kept running; its data stay from run to run. `make manage`: a command on the running stack."""

import os
import shutil
import subprocess
import sys
import time

from devstack.environment import StateFile, service_environment
from devstack.paths import CHECKOUT, DATA, locked_data_dir
from devstack.ports import free_port_from, is_free, requested_port
from devstack.processes import StackError
from devstack.stack import running_stack

DATA_DIR = DATA / "run"
FIRST_PORT, FIRST_SANDBOX_PORT = 8000, 9100  # or the next free one

GREETING = """
The relay is running.

  Start at  {url}/
  API       {url}/v1    documentation: {url}/docs
  Admin     {url}/admin/    user {operator}, password {password}
  Sandbox   {sandbox}/    live view of the third party and the client's endpoint

Send a transaction; its reference sets the third party's behaviour (sync, webhook, silent, ghost504 ...):

  curl -sS {url}/v1/transactions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"id": "order-'$(date +%s)'", "amount": 1250, "currency": "EUR", "reference": "webhook"}}'

Ctrl-C stops it. Data and logs are kept in {data_dir}; remove that folder to start over."""


def run() -> int:
    """Start the stack, print its addresses and credentials, and watch its processes until a signal ends it."""
    with locked_data_dir(DATA_DIR):
        shutil.rmtree(DATA_DIR / "logs", ignore_errors=True)
        print("Starting PostgreSQL, Valkey, web, worker and sandbox ...", flush=True)
        port = requested_port() or free_port_from(FIRST_PORT)
        with running_stack(DATA_DIR, port=port, sandbox_port=_sandbox_port()) as stack:
            stack.create_operator()
            greeting = GREETING.format(
                url=stack.url,
                sandbox=stack.sandbox_url,
                operator=stack.state["operator"],
                password=stack.state["operator_password"],
                key=stack.api_key,
                data_dir=os.path.relpath(DATA_DIR, CHECKOUT),
            )
            print(greeting, flush=True)
            try:
                while True:
                    stack.check()
                    time.sleep(0.5)
            except SystemExit:
                print("Stopping ...", flush=True)
    return 0


def manage(*words: str) -> int:
    """Run a manage.py command on the stack of `make run` and return its exit code. Raises StackError if none runs."""
    if not _is_running():
        raise StackError("No stack is running. Start it by `make run` in another terminal")
    state = StateFile(DATA_DIR / "secrets.json")
    environment = service_environment(
        state, **{name: state[name] for name in ("database_url", "broker_url", "public_url")}
    )
    return subprocess.run([sys.executable, "manage.py", *words], cwd=CHECKOUT, env=environment, check=False).returncode


def _is_running() -> bool:
    try:
        with locked_data_dir(DATA_DIR):
            return False
    except StackError:
        return True


def _sandbox_port() -> int:
    """Return the port of the first run: the provider and the client in the database refer to it."""
    state = StateFile(DATA_DIR / "secrets.json")
    if "sandbox_port" not in state:
        state.save({"sandbox_port": str(free_port_from(FIRST_SANDBOX_PORT))})
    port = int(state["sandbox_port"])
    if not is_free(port):
        raise StackError(f"Port {port} of the sandbox is taken. Free it, or remove {DATA_DIR} to start over")
    return port
