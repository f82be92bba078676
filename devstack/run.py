"""`make run`: the stack, staying up. Its data are kept from one run to the next.

`make manage` runs a command of manage.py on the stack that is up.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from devstack.environment import Kept, service_environment
from devstack.places import CHECKOUT, DATA, Home
from devstack.ports import is_free, port_asked_for, port_from
from devstack.processes import StackError
from devstack.stack import Stack
from devstack.throwaway import Stores

HOME = DATA / "run"
FIRST_PORT, FIRST_SANDBOX_PORT = 8000, 9100  # or the next that is free

TEXT = """
The relay is up.

  Start at  {url}/
  API       {url}/v1    to read and to try: {url}/docs
  Admin     {url}/admin/    user {operator}, password {password}
  Sandbox   {sandbox}/    the third party and the client's endpoint, live

Send a transaction; its reference tells the third party how to behave (sync, webhook, silent, ghost504 ...):

  curl -sS {url}/v1/transactions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"id": "order-'$(date +%s)'", "amount": 1250, "currency": "EUR", "reference": "webhook"}}'

Ctrl-C ends it. Data and logs stay in {home}; remove that folder to start over."""


def run() -> int:
    """Bring the stack up, say where it is, and watch it until told to stop."""
    with Home(HOME):
        shutil.rmtree(HOME / "logs", ignore_errors=True)  # those of the run before
        print("Starting PostgreSQL, Valkey, web, worker and sandbox ...", flush=True)
        with Stores(HOME, logs=HOME / "logs", durable=True, given=os.environ) as stores:
            stack = Stack(
                HOME,
                database_url=stores.database_url,
                broker_url=stores.broker_url,
                port=port_asked_for() or port_from(FIRST_PORT),
                sandbox_port=_sandbox_port(),
                shared_database=stores.postgres is None,
            )
            addresses = {"database_url": stores.database_url, "broker_url": stores.broker_url, "public_url": stack.url}
            stack.kept.update(addresses)
            stack.prepare()
            stack.create_operator()
            stack.start()
            try:
                _tell(stack)
                while True:
                    stack.check()
                    time.sleep(0.5)
            except SystemExit:
                return 0  # told to stop, which is how this ends
            finally:
                print("Stopping ...", flush=True)
                stack.stop()


def manage(words: Sequence[str]) -> int:
    """Run a command of manage.py on the stack that `make run` keeps up; its exit code."""
    if not _is_up():
        raise StackError("No stack is up here: start it by `make run`, and leave it running in another terminal")
    kept = Kept(HOME / "secrets.json")
    addresses = {name: kept[name] for name in ("database_url", "broker_url", "public_url")}
    environment = service_environment(kept, **addresses)
    return subprocess.run([sys.executable, "manage.py", *words], cwd=CHECKOUT, env=environment, check=False).returncode


def _is_up() -> bool:
    try:
        with Home(HOME):
            return False
    except StackError:  # held by `make run`
        return True


def _sandbox_port() -> int:
    """The one it had in the first run: the provider's address and the client's callback in the database name it."""
    kept = Kept(HOME / "secrets.json")
    if "sandbox_port" not in kept:
        kept.update({"sandbox_port": str(port_from(FIRST_SANDBOX_PORT))})
    port = int(kept["sandbox_port"])
    if not is_free(port):
        raise StackError(
            f"Port {port}, where the sandbox was before, is taken: free it, or remove {HOME} to start over"
        )
    return port


def _tell(stack: Stack) -> None:
    text = TEXT.format(
        url=stack.url,
        sandbox=stack.sandbox_url,
        operator=stack.kept["operator"],
        password=stack.kept["operator_password"],
        key=stack.api_key,
        home=os.path.relpath(HOME, CHECKOUT),
    )
    print(text, flush=True)
