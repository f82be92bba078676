"""`make run`: the stack, staying up. Its data are kept from one run to the next."""

import os
import shutil
import time

from devstack.environment import Kept
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
