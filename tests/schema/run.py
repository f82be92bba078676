"""Schemathesis run of all its checks on the whole description, against a running stack."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from devstack.paths import CHECKOUT
from devstack.stack import Stack

CONFIG = Path(__file__).with_name("schemathesis.toml")
SLUG = "signing"


def make_providers(stack: Stack) -> dict[str, str]:
    """Create a provider that signs; return its variables and those of the stack's own provider, which cannot sign."""
    words = ["--base-url", f"{stack.sandbox_url}/third-party", "--webhook-auth", "standard", "--json"]
    words += ["--set", "create_timeout=3"]  # so that it fits into the shortest lease of a stack of the tests
    made = json.loads(stack.manage("createprovider", SLUG, *words))
    return {
        "SCHEMATHESIS_PROVIDER": SLUG,
        "SCHEMATHESIS_WEBHOOK_SECRET": made["webhook_secret"],
        "SCHEMATHESIS_TOKEN_PROVIDER": stack.state["provider"],
        "SCHEMATHESIS_TOKEN_KEY": stack.state["ENCRYPTION_KEYS"],
    }


def make_mallory(stack: Stack) -> str:
    """Return the key of a second client, which must not see the transactions of the stack's own client."""
    words = ["--callback-url", f"{stack.sandbox_url}/client/callback", "--provider", stack.state["provider"], "--json"]
    key: str = json.loads(stack.manage("createclient", "mallory", *words))["api_key"]
    return key


def explore(
    stack: Stack, variables: dict[str, str], *, keys: tuple[str, str] | None, examples: int, seed: int | None = None
) -> int:
    """Run Schemathesis and print its output. Return the number of cases. Raises AssertionError if it found an error.

    The requests use the first key, or none; the second key tries to read what the first one created. `examples` is
    the maximum number of random cases per operation. Without a seed, each run generates other cases.
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
    with tempfile.TemporaryDirectory() as folder:
        # From a file: if Schemathesis loads the description from its URL, it does not test that operation.
        description = Path(folder, "schema.json")
        description.write_bytes(_description(stack))
        config = Path(folder, "schemathesis.toml")
        config.write_text(CONFIG.read_text() + (_identities(Path(folder, "keys.json"), keys) if keys else ""))
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", description, *words],
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


def _identities(file: Path, keys: tuple[str, str]) -> str:
    """Return the settings for two clients, whose keys Schemathesis reads from a file."""
    both = zip(("alice", "mallory"), keys, strict=True)
    headers = {name: [{"name": "Authorization", "value": f"Bearer {key}"}] for name, key in both}
    file.write_text(json.dumps({"auth": [{"name": name, "fixedHeaders": given} for name, given in headers.items()]}))
    return f'\n[auth.wfc]\npath = "{file}"\nuser = "alice"\npeers = ["alice", "mallory"]\n'


def _description(stack: Stack) -> bytes:
    answer = requests.get(f"{stack.url}/v1/schema", headers={"Accept": "application/json"}, timeout=30)
    answer.raise_for_status()
    return answer.content
