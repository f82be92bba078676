"""Schemathesis over the whole description, with all of its checks, against a stack that runs."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from devstack.places import CHECKOUT
from devstack.stack import Stack

CONFIG = Path(__file__).with_name("schemathesis.toml")
SLUG = "signing"


def make_providers(stack: Stack) -> dict[str, str]:
    """Whom the hooks play: a provider that signs its webhooks, and the stack's own, which cannot. Their variables."""
    words = ["--base-url", f"{stack.sandbox_url}/third-party", "--webhook-auth", "standard", "--json"]
    words += ["--set", "create_timeout=3"]  # so that it fits into the shortest lease of a stack of the tests
    made = json.loads(stack.manage("createprovider", SLUG, *words))
    return {
        "SCHEMATHESIS_PROVIDER": SLUG,
        "SCHEMATHESIS_WEBHOOK_SECRET": made["webhook_secret"],
        "SCHEMATHESIS_TOKEN_PROVIDER": stack.kept["provider"],
        "SCHEMATHESIS_TOKEN_KEY": stack.kept["ENCRYPTION_KEYS"],
    }


def explore(stack: Stack, variables: dict[str, str], *, key: str | None, examples: int, seed: int | None = None) -> int:
    """Run it and print what it says; the number of cases it tried. Raises AssertionError if it found anything.

    `examples` bounds the random cases of an operation; without a seed they are others each time.
    """
    words = [
        "--url",
        stack.url,
        "--checks",
        "all",
        "--max-examples",
        str(examples),
        "--continue-on-failure",
        "--no-color",
    ]
    words += ["--generation-database", "none", *([] if seed is None else ["--seed", str(seed)])]
    words += ["--header", f"Authorization: Bearer {key}"] if key else []
    with tempfile.TemporaryDirectory() as folder:
        # From a file: read from its address, it would take the description for no operation of its own.
        description = Path(folder, "schema.json")
        description.write_bytes(_description(stack))
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run", description, *words],
            cwd=CHECKOUT,
            env=os.environ | variables | {"SCHEMATHESIS_HOOKS": "tests.schema.hooks"},
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout + done.stderr, flush=True)
    assert done.returncode == 0, "Schemathesis found a difference between the description and the service"
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found, "Schemathesis did not say how many cases it tried"
    return int(found[1].replace(",", ""))


def _description(stack: Stack) -> bytes:
    answer = requests.get(f"{stack.url}/v1/schema", headers={"Accept": "application/json"}, timeout=30)
    answer.raise_for_status()
    return answer.content
