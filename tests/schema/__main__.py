"""`make schemathesis`: a long run, on its own stack and stores."""

import argparse
import tempfile
from pathlib import Path

from devstack.ports import free_port
from devstack.stack import Stack
from devstack.stores import temporary_stores
from tests.schema.run import explore, make_mallory, make_providers

WANTED = 2000
"""Minimum number of cases in a run of the default size."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make schemathesis", description=__doc__)
    parser.add_argument("--examples", type=int, default=150, help="maximum number of random cases per operation (150)")
    parser.add_argument("--seed", type=int, help="repeat the run with this seed")
    asked = parser.parse_args()
    with temporary_stores() as stores, tempfile.TemporaryDirectory() as folder:
        stack = Stack(
            Path(folder),
            database_url=stores.database_url,
            broker_url=stores.broker_url,
            port=free_port(),
            sandbox_port=free_port(),
        )
        stack.prepare()
        variables, keys = make_providers(stack), (stack.api_key, make_mallory(stack))
        stack.start()
        try:
            with_key = explore(stack, variables, keys=keys, examples=asked.examples, seed=asked.seed)
            without = explore(stack, variables, keys=None, examples=asked.examples, seed=asked.seed)
        finally:
            stack.stop()
    print(f"No failure in {with_key} cases with an API key and {without} without.")
    if asked.examples >= parser.get_default("examples") and with_key + without < WANTED:
        raise SystemExit(f"Too few cases: a run of this size must have at least {WANTED}.")


if __name__ == "__main__":
    main()
